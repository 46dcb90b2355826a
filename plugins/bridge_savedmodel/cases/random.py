"""Random numbers of a seed, the same at every run."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge_savedmodel.cases.data import X


def stateless_random(tf: Any) -> dict[str, tuple]:
    """Numbers of a seed: the same in every run."""
    raw, random = tf.raw_ops, tf.random
    seed = np.array([7, -3])

    def of(name: str, **more: Any) -> Any:
        return lambda s: getattr(raw, name)(shape=[3, 7], seed=s, **more)

    return {
        "StatelessRandomUniform": (of("StatelessRandomUniform", dtype=tf.float32), seed),
        "StatelessRandomNormal": (of("StatelessRandomNormal", dtype=tf.float32), seed),
        "StatelessRandomUniformInt": (of("StatelessRandomUniformInt", minval=-5, maxval=1000), seed),
        "StatelessRandomUniformFullInt": (of("StatelessRandomUniformFullInt", dtype=tf.int32), seed),
        "StatelessRandomUniformV2": (
            lambda s: random.stateless_uniform([5], s, 2.0, 3.0),
            seed.astype(np.int32),
        ),
        "StatelessRandomNormalV2": (lambda x, s: x + random.stateless_normal(tf.shape(x), s), X, seed),
        "StatelessRandomUniformIntV2": (
            lambda s: random.stateless_uniform([9], s, -4, 2**40, tf.int64),
            seed,
        ),
        "StatelessRandomUniformFullIntV2": (
            lambda s: random.stateless_uniform([9], s, None, None, tf.uint32),
            seed,
        ),
        "StatelessRandomUniformFullIntV2 wide": (
            lambda s: random.stateless_uniform([9], s, None, None, tf.int64),
            seed,
        ),
        "StatelessRandomGetKeyCounter": (
            lambda s: [tf.bitcast(v, tf.int64) for v in raw.StatelessRandomGetKeyCounter(seed=s)],
            seed,
        ),
        "StatelessRandomGetKeyCounterAlg": (lambda s: raw.StatelessRandomGetKeyCounterAlg(seed=s)[2], seed),
        "StatelessRandomUniformV2 carried": (
            lambda k, c: raw.StatelessRandomUniformV2(
                shape=[40], key=tf.bitcast(k, tf.uint64), counter=tf.bitcast(c, tf.uint64), alg=1
            ),
            np.array([-9]),
            np.array([-2, 17]),
        ),
    }
