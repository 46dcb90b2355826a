"""Signatures and bills of materials, by the packages that make them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from test_provenance import CARD, SUFFIXES, require

import bridge
from bridge.cli import main
from bridge.errors import BridgeError, DestinationExists, InvalidOption, InvalidSignature

FORMS = {
    "onnx": {"external_data": True},
    "tflite": {},
    "savedmodel": {},
    "torchscript": {},
    "coreml": {},
}


@pytest.fixture
def keys(tmp_path):
    """A private and a public key, and those of somebody else."""
    pytest.importorskip("model_signing.signing")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    made = {}
    for name in ("own", "other"):
        key = ec.generate_private_key(ec.SECP256R1())
        private, public = tmp_path / f"{name}.pem", tmp_path / f"{name}.pub"
        pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
        private.write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
        public.write_bytes(
            key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
        made[name] = private, public
    return made


def flipped(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place % len(content)] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("target", FORMS)
def test_one_byte_that_changes_is_refused_in_every_file(target, keys, mnist, tmp_path):
    from bridge.provenance.sign import sign, verify_signature

    require(target)
    private, public = keys["own"]
    path = bridge.convert(mnist, tmp_path / f"m{SUFFIXES[target]}", to=target, **FORMS[target]).path
    before = {f for f in tmp_path.rglob("*") if f.is_file()}
    bundle = sign(path, private)
    assert {f for f in tmp_path.rglob("*") if f.is_file()} - before == {bundle}
    assert verify_signature(path, public) == bundle
    files = [*path.rglob("*")] if path.is_dir() else [*path.parent.glob(f"{path.name}*")]
    files = [f for f in files if f.is_file() and f != bundle]
    assert len(files) == {"onnx": 2, "savedmodel": 4, "coreml": 3}.get(target, 1)
    for file in files:
        for place in (0, file.stat().st_size // 2, -1):
            flipped(file, place)
            with pytest.raises(InvalidSignature, match=rf"{file.name} changed"):
                verify_signature(path, public)
            flipped(file, place)
    assert verify_signature(path, public) == bundle
    if path.is_dir():
        (path / "more").touch()
        with pytest.raises(InvalidSignature, match="Extra files"):
            verify_signature(path, public)


def test_another_key_another_model_and_a_damaged_signature_are_refused(keys, mnist, tmp_path):
    from bridge.provenance.sign import sign, verify_signature

    private, public = keys["own"]
    path = bridge.convert(mnist, tmp_path / "m.onnx").path
    bundle = sign(path, private)
    with pytest.raises(InvalidSignature, match="Key mismatch"):
        verify_signature(path, keys["other"][1])
    with pytest.raises(DestinationExists):
        sign(path, private)
    assert sign(path, keys["other"][0], overwrite=True) == bundle
    with pytest.raises(InvalidSignature):
        verify_signature(path, public)
    for key in (public, path):
        with pytest.raises(InvalidOption, match="openssl"):
            sign(path, key, tmp_path / "other.sig")
    with pytest.raises(InvalidOption, match="openssl"):
        verify_signature(path, path)
    sign(path, private, overwrite=True)
    content = bundle.read_bytes()
    for place in range(0, len(content), 37):
        flipped(bundle, place)
        with pytest.raises(InvalidSignature):
            verify_signature(path, public)
        bundle.write_bytes(content)


def test_a_signature_of_the_weights_alone_is_none_of_the_model(keys, mnist, tmp_path):
    """A bundle that the same key made of other files beside the model."""
    from bridge.provenance.sign import sign, verify_signature

    private, public = keys["own"]
    for name in ("m", "n"):
        bridge.convert(mnist, tmp_path / f"{name}.onnx", external_data=True)
    bundle = sign(tmp_path / "n.onnx", private)
    shutil.copy(bundle, tmp_path / "m.onnx.sig")
    with pytest.raises(InvalidSignature, match=r"no signature of m\.onnx"):
        verify_signature(tmp_path / "m.onnx", public)


def test_a_key_with_a_password(keys, mnist, tmp_path):
    from bridge.provenance.sign import sign, verify_signature

    if shutil.which("openssl") is None:
        pytest.skip("no openssl")
    private, public = keys["own"]
    locked = tmp_path / "locked.pem"
    words = ["openssl", "ec", "-in", private, "-aes256", "-passout", "pass:secret", "-out", locked]
    subprocess.run(words, check=True, capture_output=True)
    path = bridge.convert(mnist, tmp_path / "m.onnx").path
    for password in (None, "wrong"):
        with pytest.raises(InvalidOption):
            sign(path, locked, password=password)
    (tmp_path / "password").write_text("secret\n")
    given = ["sign", str(path), "--key", str(locked), "--password-file", str(tmp_path / "password")]
    result = CliRunner().invoke(main, given)
    assert result.exit_code == 0, result.output
    assert verify_signature(path, public)


def test_exit_codes(keys, mnist, tmp_path):
    private, public = keys["own"]
    path = bridge.convert(mnist, tmp_path / "m.onnx").path
    run = CliRunner().invoke
    assert run(main, ["sign", str(path), "--key", str(private)]).exit_code == 0
    assert run(main, ["verify-signature", str(path), "--key", str(public)]).exit_code == 0
    flipped(path, 100)
    result = run(main, ["verify-signature", str(path), "--key", str(public), "--json"])
    assert result.exit_code == 3
    assert json.loads(result.output)["error"] == "InvalidSignature"


def bill(path: Path) -> dict:
    result = CliRunner().invoke(main, ["inspect", str(path), "--bom"])
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def test_a_bill_holds_the_model_its_files_its_ancestors_and_its_card(mnist, tmp_path):
    pytest.importorskip("cyclonedx")
    pytest.importorskip("jsonschema")
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    require("tflite")
    first = bridge.convert(mnist, tmp_path / "m.tflite", card=CARD, verify=True).path
    path = bridge.convert(first, tmp_path / "m.onnx", external_data=True).path
    found = bill(path)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(found)) is None
    assert found == bill(path), "the same file gives the same bill"
    model = found["metadata"]["component"]
    assert (model["type"], model["name"], model["version"]) == ("machine-learning-model", "digits", "1.2")
    assert model["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert {a["name"] for a in model["pedigree"]["ancestors"]} == {"mnist.onnx", "m.tflite"}
    metrics = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert metrics[1] == {"type": "accuracy", "value": "0.9", "slice": "left-handed"}
    assert {c["name"] for c in found["components"]} == {"m.onnx", "m.onnx.data"}
    assert all(c["hashes"][0]["alg"] == "SHA-256" for c in found["components"])
    assert "formatbridge" in {c["name"] for c in found["metadata"]["tools"]["components"]}
    for other in (mnist, first):
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill(other))) is None


def test_without_the_packages_the_extras_are_named(monkeypatch, mnist, tmp_path):
    from bridge.provenance.sign import sign

    for package in ("cyclonedx.model.bom", "model_signing.hashing"):
        monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / "key.pem").touch()
    with pytest.raises(BridgeError, match=r"formatbridge\[signing\]"):
        sign(mnist, tmp_path / "key.pem", tmp_path / "m.sig")
    result = CliRunner().invoke(main, ["inspect", str(mnist), "--bom"])
    assert "formatbridge[bom]" in result.stderr
