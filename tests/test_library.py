"""Closures by name and by directory: what is found, and how everything else is refused."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from closures.gas import Gas
from closures.learned import Learned
from closures.library import (
    MAX_MOMENTS,
    NAMES,
    SHIPPED,
    ClosureConfig,
    load,
    parse,
    read_model,
    write_model,
)
from closures.model_files import DIGEST, MANIFEST, MAX_BYTES, WEIGHTS
from closures.resources import closures_dir
from kinetic.errors import InvalidInput

HISTORY = {"step": [0, 10], "train": [0.1, 0.05], "validation": [0.2, 0.06]}


@pytest.fixture
def model(tmp_path):
    with torch.no_grad():
        write_model(tmp_path / "model", Learned(3).closure(), {"history": HISTORY})
    return tmp_path / "model"


def refused(action, *arguments):
    """The error of an action that must refuse its input in one line."""
    with pytest.raises(InvalidInput) as caught:
        action(*arguments)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 500
    return caught.value


def edit(model, **changes):
    manifest = json.loads((model / MANIFEST).read_text()) | changes
    (model / MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize("moments", SHIPPED[Gas()])
def test_shipped_closures(moments):
    closure = load("entropy", moments)
    assert (closure.name, closure.moments) == ("entropy", moments)
    folder = closures_dir() / f"entropy-d1-bgk-k{moments}"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 2**20


@pytest.mark.parametrize(
    ("spec", "name", "moments"),
    [
        ("euler", "euler", 0),
        ("navier_stokes", "navier_stokes", 0),
        ("hermite", "hermite", 6),
        ("hermite-3", "hermite", 3),
        ("maxent", "maxent", 6),
        ("maxent-4", "maxent", 4),
        ("maxent_truncated-2", "maxent_truncated", 2),
        ("entropy", "entropy", 6),
        ("entropy-9", "entropy", 9),
        (f"hermite-{MAX_MOMENTS}", "hermite", MAX_MOMENTS),
    ],
)
def test_names(spec, name, moments):
    closure = parse(spec)
    assert (closure.name, closure.moments) == (name, moments)
    assert closure.conductivity == (name == "navier_stokes")


def test_a_model_survives_the_way_to_the_disk(model):
    closure = parse(str(model))
    with torch.no_grad():
        features = Learned(3).encoder.features()
    assert torch.equal(closure.features.coefficients, features.coefficients)
    assert closure.features.parity.tolist() == [-1.0, -1.0, 1.0]
    assert closure.history == HISTORY
    assert (model / WEIGHTS).stat().st_mode == (model / MANIFEST).stat().st_mode
    assert load("model", None, model).moments == load("model", 3, model).moments == 3
    assert refused(load, "model", 6, model).key == "closure.moments"


@pytest.mark.parametrize("others", [[], ["notes.txt"]])
def test_a_model_is_replaced_whole(model, others):
    for name in others:
        (model / name).touch()
    (model.parent / "link").symlink_to(model)
    with torch.no_grad():
        write_model(model.parent / "link", Learned(2).closure(), {})
    assert parse(str(model)).moments == 2
    assert {entry.name for entry in model.iterdir()} == {MANIFEST, WEIGHTS, *others}
    assert {entry.name for entry in model.parent.iterdir()} == {"model", "link"}
    assert (model.parent / "link").is_symlink()


def test_a_model_stays_until_another_is_complete(model, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("closures.model_files.write_json", full)
    with torch.no_grad(), pytest.raises(OSError, match="No space"):
        write_model(model, Learned(2).closure(), {})
    assert parse(str(model)).moments == 3
    assert [entry.name for entry in model.parent.iterdir()] == ["model"]
    model.rename(model.with_name(f".model.{2**30}.old"))  # as a kill may leave it
    with torch.no_grad(), pytest.raises(OSError, match="No space"):
        write_model(model, Learned(2).closure(), {})
    assert parse(str(model)).moments == 3


@pytest.mark.parametrize(
    ("spec", "hint"),
    [
        ("entrpy", "did you mean 'entropy'"),
        ("hermit-3", "did you mean 'hermite'"),
        ("model", ""),
        ("euler-3", ""),
        ("entropy-", ""),
        ("hermite-²", ""),
        ("hermite--3", ""),
        ("", ""),
        ("hermite-9" * 300, ""),
        ("\0/x", ""),
        ("x" * 5000 + "/y", ""),
    ],
)
def test_what_is_no_closure_is_refused(spec, hint):
    if len(spec) > 1000:
        with pytest.raises(InvalidInput):
            parse(spec)
    else:
        assert hint in str(refused(parse, spec))


@pytest.mark.parametrize(
    "spec", ["hermite-0", "hermite-25", "hermite-9999", "maxent-3", "entropy-7"]
)
def test_numbers_of_moments_that_are_not_there(spec):
    refusal = refused(parse, spec)
    assert refusal.key == "compare.closures"
    assert refusal.value == spec


@settings(max_examples=200)
@given(st.one_of(st.text(max_size=30), st.from_regex(r"[a-z]{1,8}-[0-9]{1,6}", fullmatch=True)))
def test_any_text_is_a_closure_or_refused(spec):
    try:
        closure = parse(spec)
    except InvalidInput:
        return
    assert closure.name in NAMES


def test_configurations():
    assert ClosureConfig().completed(1) == ClosureConfig("entropy", 6)
    assert ClosureConfig().completed(2) == ClosureConfig("entropy", 9)
    assert ClosureConfig("entropy", 12).completed(3) == ClosureConfig("entropy", 12)
    assert ClosureConfig("model", path="x").moments is None
    assert refused(ClosureConfig, "model").key == "closure.path"
    assert refused(ClosureConfig, "euler", None, "x").key == "closure.path"
    assert refused(ClosureConfig, "entropy", 0).key == "closure.moments"
    assert "did you mean 'hermite'" in str(refused(ClosureConfig, "hermit"))


def header(document):
    raw = json.dumps(document).encode()
    return struct.pack("<Q", len(raw)) + raw


DAMAGED_WEIGHTS = {
    "empty": b"",
    "text": b"hello, world",
    "pickle": b"\x80\x04cposix\nsystem\n(S'true'\ntR.",
    "huge header": struct.pack("<Q", 2**63) + b"{}",
    "no tensors": header({}),
    "beyond the end": header(
        {"coefficients": {"dtype": "F64", "shape": [2**40], "data_offsets": [0, 2**43]}}
    ),
    "other names": save({"weights": torch.zeros(51, 3)}),
    "shapes": save({"coefficients": torch.zeros(50, 3), "parity": torch.ones(3)}),
    "zeros": save({"coefficients": torch.zeros(51, 3), "parity": torch.ones(3)}),
    "nan": save({"coefficients": torch.full((51, 3), torch.nan), "parity": torch.ones(3)}),
    "integers": save(
        {"coefficients": torch.ones(51, 3, dtype=torch.int64), "parity": torch.ones(3)}
    ),
    "complex": save(
        {"coefficients": torch.zeros(51, 3, dtype=torch.complex64), "parity": torch.ones(3)}
    ),
    "too large": b"\0" * (MAX_BYTES + 1),
}


@pytest.mark.parametrize("content", DAMAGED_WEIGHTS.values(), ids=DAMAGED_WEIGHTS.keys())
def test_damaged_weights(model, content):
    edit(model, **{DIGEST: None})
    (model / WEIGHTS).write_bytes(content)
    error = refused(read_model, model)
    assert error.key == "closure"
    assert WEIGHTS in str(error)


@pytest.mark.parametrize("parity", [[-1.0, -1.0, -1.0], [1.0, -1.0, 1.0], [0.0, 0.0, 0.0]])
def test_a_parity_that_the_functions_do_not_have(model, parity):
    edit(model, **{DIGEST: None})
    features = read_model(model).features
    tensors = {"coefficients": features.coefficients, "parity": torch.tensor(parity)}
    (model / WEIGHTS).write_bytes(save(tensors))
    assert "no parity" in str(refused(read_model, model))


DAMAGED_MANIFEST = [
    b"",
    b"\xff\xfe binary \x00",
    b"{",
    b"[]",
    b"null",
    b"{}",
    b"[" * 100_000,
    b'{"moments": ' + b"9" * 10_000 + b"}",
    b" " * (MAX_BYTES + 1),
]


@pytest.mark.parametrize("content", DAMAGED_MANIFEST, ids=range(len(DAMAGED_MANIFEST)))
def test_damaged_manifest(model, content):
    (model / MANIFEST).write_bytes(content)
    assert MANIFEST in str(refused(read_model, model))


@pytest.mark.parametrize(
    "changes",
    [
        {"dimension": 4},
        {"collision": "boltzmann"},
        {"closure": "network"},
        {"schema_version": "2.0"},
        {"schema_version": "x\n" * 3000},
        {"moments": 0},
        {"moments": 3.0},
        {"moments": True},
        {"moments": 10**9},
        {"moments": None},
        {"moments": [3]},
        {"basis": None},
        {"basis": {"extent": 6.0}},
        {"basis": {"extent": 6.0, "intervals": 48.5}},
        {"basis": {"extent": 6.0, "intervals": 10**12}},
        {"basis": {"extent": -6.0, "intervals": 48}},
        {"basis": {"extent": 1e300, "intervals": 48}},
        {"basis": {"extent": float("nan"), "intervals": 48}},
        {"basis": {"extent": "6", "intervals": 48}},
        {"history": [1]},
        {"history": {"step": "x"}},
        {"history": {"step": [float("inf")]}},
        {"history": {"step": [1, 2], "train": [1]}},
    ],
    ids=str,
)
def test_manifests_that_are_not_allowed(model, changes):
    edit(model, **changes)
    error = refused(read_model, model)
    assert error.key == "closure"
    assert MANIFEST in str(error)


@pytest.mark.parametrize("bit", [0, 4, 7])
def test_no_bit_of_the_weights_changes_unseen(model, bit):
    content = bytearray((model / WEIGHTS).read_bytes())
    content[-1000] ^= 1 << bit
    (model / WEIGHTS).write_bytes(content)
    assert "digest" in str(refused(read_model, model))
    edit(model, **{DIGEST: "0" * 64})
    assert "digest" in str(refused(read_model, model))


@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS])
def test_missing_parts(model, name):
    (model / name).unlink()
    assert name in str(refused(read_model, model))
    (model / name).mkdir()
    assert "not a file" in str(refused(read_model, model))
    (model / name).rmdir()
    os.mkfifo(model / name)
    assert "not a file" in str(refused(read_model, model))


def test_missing_directory(tmp_path):
    assert "cannot be read" in str(refused(read_model, tmp_path / "none"))
    file = tmp_path / "file"
    file.write_text("x")
    refused(read_model, file)
    refused(read_model, Path("a\0b"))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([MANIFEST, WEIGHTS]), st.data())
def test_any_damage_is_refused_or_harmless(model, name, data):
    edit(model, **{DIGEST: None})
    whole = {part: (model / part).read_bytes() for part in (MANIFEST, WEIGHTS)}
    content = bytearray(whole[name])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (model / name).write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        assert torch.isfinite(read_model(model).phi).all()
    except InvalidInput:
        refused(read_model, model)
    finally:
        for part, original in whole.items():
            (model / part).write_bytes(original)
