"""An error names what it is about: memory, a file, or a bug of DeepSeg; nothing is guessed."""

import errno
import io
import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from deepseg_qgis.engine import faults, run
from deepseg_qgis.engine.backends import conversion_process
from deepseg_qgis.errors import RasterError, os_message
from deepseg_qgis.events import decode


def explained(error):
    return run._error_event(error)


def caught(call):
    with pytest.raises(Exception) as info:  # noqa: PT011 - which one is what is looked for
        call()
    return info.value


def openvino_without_memory():
    import openvino

    openvino.Tensor(openvino.Type.f32, openvino.Shape([10**7, 10**7]))


@pytest.mark.parametrize(
    "use", [lambda: torch.zeros(10**15), lambda: np.zeros((10**9, 10**6)), openvino_without_memory]
)
def test_want_of_memory_is_told_as_that(use):
    event = explained(caught(use))
    assert event.kind == "ResourceError"
    assert event.message.startswith("The memory was not enough. Use a smaller batch")


@pytest.mark.parametrize(
    "text",
    [
        "CUDA out of memory. Tried to allocate 2 GiB",
        "std::bad_alloc",
        "CUBLAS_STATUS_ALLOC_FAILED",
        "could not create a primitive",
    ],
)
def test_other_words_for_want_of_memory(text):
    assert faults.is_out_of_memory(RuntimeError(text))
    assert not faults.is_out_of_memory(ValueError(text))


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.ENOSPC, "ResourceError", "There is no room for /data/a.tif ("),
        (errno.EACCES, "DeepSegError", "/data/a.tif cannot be read or written ("),
        (errno.EROFS, "DeepSegError", "/data/a.tif cannot be read or written ("),
        (errno.ENOENT, "DeepSegError", "/data/a.tif is not there ("),
        (errno.EIO, "DeepSegError", "/data/a.tif cannot be reached ("),
        (errno.EMFILE, "ResourceError", "Too many files are open ("),
        (errno.ENAMETOOLONG, "DeepSegError", "/data/a.tif has too long a name ("),
        (errno.EISDIR, "DeepSegError", "/data/a.tif cannot be used ("),
        (errno.ENOMEM, "ResourceError", "The memory was not enough."),
    ],
)
def test_what_the_system_refuses_has_a_name_and_a_remedy(number, kind, words):
    event = explained(OSError(number, "reason", "/data/a.tif"))
    assert event.kind == kind
    assert event.message.startswith(words)
    assert event.message.endswith(".")


def test_no_name_and_two_names():
    assert os_message(OSError(errno.ENOSPC, "full")).startswith("There is no room on the disk")
    assert "a or b is not there" in os_message(OSError(errno.ENOENT, "gone", "a", None, "b"))


def test_bugs_stay_bugs_and_messages_stay_messages():
    assert "did not expect: KeyError" in explained(KeyError("x")).message
    assert "did not expect: RuntimeError" in explained(RuntimeError("x")).message
    assert explained(RasterError("out of memory.tif")).message == "out of memory.tif"


def test_a_job_that_is_gone_is_told_by_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "_listen", lambda *_: None)
    stream = io.StringIO()
    assert run.run(str(tmp_path / "job.json"), stream) == 1
    error = decode(stream.getvalue().splitlines()[-1])
    assert "job.json is not there" in error.message


def test_the_converter_tells_what_the_system_refused():
    said = json.dumps({"kind": "", "message": "x", "system": [28, "full", "/cache/a"]})
    error = conversion_process._error_of_child(f"noise\n{said}\n")
    assert isinstance(error, OSError)
    assert error.filename == "/cache/a"


def test_temporary_files_of_an_engine_lie_beside_its_job(tmp_path):
    program = (
        "import sys, tempfile, deepseg_qgis.engine.run as run\n"
        "run._listen = lambda *_: None\n"
        f"run.run({str(tmp_path / 'job.json')!r}, sys.stderr)\n"
        "print(tempfile.gettempdir())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(tmp_path)
