"""Branches, loops, lists, states, chance, classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge_coreml.cases.common import Program, State, f, ints, program

X = f(3)


def programs(mb: Any) -> dict[str, Program]:
    return branches(mb) | lists(mb) | states(mb) | chance(mb) | classes(mb)


def branches(mb: Any) -> dict[str, Program]:
    def branched(x: Any) -> Any:
        total = mb.reduce_sum(x=x, axes=[0], keep_dims=False)
        return mb.cond(
            pred=mb.greater(x=total, y=0.0),
            _true_fn=lambda: mb.mul(x=x, y=2.0),
            _false_fn=lambda: mb.sub(x=x, y=1.0),
        )

    def counted(x: Any) -> Any:
        return mb.while_loop(
            _cond=lambda k, v: mb.less(x=k, y=3),
            _body=lambda k, v: (mb.add(x=k, y=1), mb.mul(x=v, y=1.5)),
            loop_vars=(0, x),
        )[1]

    def bounded(x: Any) -> Any:
        return mb.while_loop(
            _cond=lambda v: mb.less(x=mb.reduce_sum(x=v, axes=[0], keep_dims=False), y=50.0),
            _body=lambda v: mb.mul(x=v, y=2.0),
            loop_vars=(x,),
        )

    def doubled(x: np.ndarray) -> np.ndarray:
        while x.sum() < 50:
            x = x * np.float32(2)
        return x

    up, down = np.float32([1, 2, 3]), np.float32([-1, -2, 1])
    return {
        "cond": program(branched, up, want=lambda x: x * 2),
        "cond false": program(branched, down, want=lambda x: x - 1),
        "while_loop": program(counted, X, want=lambda x: x * np.float32(1.5**3)),
        "while_loop open": program(bounded, up, want=doubled),
    }


def lists(mb: Any) -> dict[str, Program]:
    def made(length: int, dynamic: bool = False) -> Any:
        return mb.make_list(init_length=length, dynamic_length=dynamic, elem_shape=(3,), dtype="fp32")

    def wrote(x: Any) -> Any:
        ls = made(3)
        for n in range(3):
            ls = mb.list_write(ls=ls, index=n, value=mb.mul(x=x, y=float(n + 1)))
        return ls

    def grown(x: Any) -> Any:
        ls = made(1, True)
        for n in range(3):
            ls = mb.list_write(ls=ls, index=n, value=mb.mul(x=x, y=float(n + 1)))
        return mb.list_gather(ls=ls, indices=ints([2, 0, 1]))

    def looped(x: Any) -> Any:
        def step(k: Any, ls: Any) -> Any:
            row = mb.gather(x=x, indices=k, axis=0)
            return mb.add(x=k, y=1), mb.list_write(ls=ls, index=k, value=mb.mul(x=row, y=2.0))

        held = mb.while_loop(_cond=lambda k, ls: mb.less(x=k, y=4), _body=step, loop_vars=(0, made(4)))
        return mb.list_gather(ls=held[1], indices=ints([0, 1, 2, 3]))

    rows = f(4, 3)
    return {
        "list_gather+make_list+list_write": program(
            lambda x: mb.list_gather(ls=wrote(x), indices=ints([2, 0])),
            X,
            want=lambda x: np.stack([x * 3, x]),
        ),
        "list_write+make_list growing": program(grown, X, want=lambda x: np.stack([x * 3, x, x * 2])),
        "list_read+list_write": program(
            lambda x: mb.list_read(ls=wrote(x), index=1), X, want=lambda x: x * 2
        ),
        "list_length+make_list": program(
            lambda x: mb.add(x=mb.list_length(ls=wrote(x)), y=mb.reduce_argmax(x=x, axis=0)),
            np.float32([4, 1, 7]),
            want=lambda x: np.int32(5),
        ),
        "list_scatter+make_list+list_gather": program(
            lambda x: mb.list_gather(
                ls=mb.list_scatter(ls=made(4), indices=ints([3, 0]), value=x), indices=ints([0, 1, 3])
            ),
            rows[:2],
            want=lambda x: np.stack([x[1], x[0] * 0, x[0]]),
        ),
        "while_loop+list_write": program(looped, rows, want=lambda x: x * 2),
    }


def states(mb: Any) -> dict[str, Program]:
    x, kept = f(2).astype(np.float16), State(f(2).astype(np.float16))

    def updated(x: Any, state: Any) -> Any:
        value = mb.coreml_update_state(state=state, value=mb.add(x=mb.read_state(input=state), y=x))
        return mb.mul(x=value, y=np.float16(2))

    return {
        "coreml_update_state+read_state": program(
            updated, x, kept, target=18, want=lambda x, s: [(s + x) * np.float16(2), s + x]
        ),
        "read_state": program(
            lambda x, s: mb.mul(x=mb.read_state(input=s), y=x), x, kept, target=18, want=lambda x, s: s * x
        ),
    }


def chance(mb: Any) -> dict[str, Program]:
    def case(build: Any, *arrays: np.ndarray, **more: Any) -> Program:
        return program(build, *arrays, random=True, **more)

    shape = ints([3, 4])
    nothing = lambda *v: np.zeros((3, 4), np.float32)  # noqa: E731
    return {
        "random_uniform": case(lambda s: mb.random_uniform(shape=s, low=-1.0, high=2.0), shape, want=nothing),
        "random_normal": case(lambda s: mb.random_normal(shape=s, mean=1.0, stddev=2.0), shape, want=nothing),
        "random_normal seed": case(lambda s: mb.random_normal(shape=s, seed=3), shape, want=nothing),
        "random_bernoulli": case(lambda s: mb.random_bernoulli(shape=s, prob=0.25), shape, want=nothing),
        "random_categorical": case(lambda x: mb.random_categorical(x=x, size=4), f(3, 5), want=nothing),
        "random_categorical probs": case(
            lambda x: mb.random_categorical(x=x, mode="probs", size=4), f(3, 5, low=0.1), want=nothing
        ),
    }


def classes(mb: Any) -> dict[str, Program]:
    def config(ct: Any) -> Any:
        return ct.ClassifierConfig(["cat", "dog", "eel"], predicted_feature_name="animal")

    def chances(x: np.ndarray) -> np.ndarray:
        made = np.exp(x - x.max())
        return made / made.sum()

    return {
        "classify+softmax": program(
            lambda x: mb.softmax(x=x, axis=-1), f(1, 3), want=chances, options={"classifier_config": config}
        )
    }
