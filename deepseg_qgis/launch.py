"""The door of the engine process: ``python -I -X utf8 -u launch.py job.json``.

With ``--prepare`` instead of a job it compiles what is compiled on each computer, once; with
``--convert`` and a model it converts that into the cache. With ``--follow`` it is one of the
processes of a training that another computer leads.

Events leave through a duplicate of the first standard output; whatever a library prints goes to
standard error, so that it can never break the event stream. The package is loaded by its own
location, never through ``sys.path``: no neighbouring plugin can hide a library of the engine's.

This file runs on whatever Python it is given, however old, and says what is wrong with it.
"""

import importlib.util
import os
import sys

PACKAGE = "deepseg_qgis"
OLDEST_PYTHON = (3, 10)


def main():
    """Load the package and do the job that the first argument names; return the exit code."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)
    if sys.version_info < OLDEST_PYTHON:
        sys.stderr.write(
            "The DeepSeg engine needs Python %d.%d or newer, this is %s. Run 'Set up the engine' "
            "with a newer Python.\n" % (*OLDEST_PYTHON, sys.version.split()[0])
        )
        return 2
    load_package(os.path.dirname(os.path.abspath(__file__)))
    silence_telemetry()
    # threads that wait for each other give way: beside a busy QGIS spinning ones stand still
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if sys.argv[1] == "--prepare":
        from deepseg_qgis.engine.preparation import prepare

        return prepare()
    if sys.argv[1] == "--convert":
        from deepseg_qgis.engine.backends.conversion_process import run as convert

        return convert(sys.argv[2])
    from deepseg_qgis.engine.run import follow, run

    if sys.argv[1] == "--follow":
        return follow()
    return run(sys.argv[1], events)


def silence_telemetry():
    """Keep OpenVINO from reporting to its maker.

    It would at its mere import, from a forked child that outlives a killed engine and holds what
    that had open and locked.
    """
    # OpenVINO's own stand-in takes its place
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]


def load_package(folder):
    """Import the package that lies in ``folder`` as ``deepseg_qgis``, wherever that is."""
    spec = importlib.util.spec_from_file_location(
        PACKAGE, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    assert spec is not None
    assert spec.loader is not None  # a file's are there
    package = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = package
    spec.loader.exec_module(package)


if __name__ == "__main__":
    sys.exit(main())
