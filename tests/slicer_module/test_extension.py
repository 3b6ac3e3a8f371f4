"""The extension as files: nothing is forgotten in CMake's lists, and what is installed runs from where it lies."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "SlicerXAI"

WORKING = ["-DCMAKE_C_COMPILER_WORKS=1", "-DCMAKE_CXX_COMPILER_WORKS=1"]
"""Nothing is compiled: no need to try."""

STAND_IN = """
set(Slicer_USE_FILE "${CMAKE_CURRENT_LIST_DIR}/nothing.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_CURRENT_LIST_DIR}/nothing.cmake")
set(Slicer_EXTENSION_CPACK "${CMAKE_CURRENT_LIST_DIR}/nothing.cmake")
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR "lib/Slicer/qt-scripted-modules")
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR "lib/Slicer/qt-scripted-modules")
function(slicer_add_python_unittest)
endfunction()
function(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MY "WITH_GENERIC_TESTS" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  foreach(name IN LISTS MY_SCRIPTS MY_RESOURCES)
    get_filename_component(folder "${name}" DIRECTORY)
    install(FILES "${name}" DESTINATION "${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}/${folder}")
  endforeach()
endfunction()
"""
"""Slicer's CMake package as far as the extension uses it: files go where Slicer puts them."""


def listed(name: str) -> set[str]:
    text = (MODULE / "CMakeLists.txt").read_text()
    block = re.search(rf"set\({name}\n(.*?)\)", text, re.DOTALL)
    assert block
    return {line.strip().replace("${MODULE_NAME}", "SlicerXAI") for line in block[1].splitlines() if line.strip()}


def relative(folder: str, pattern: str) -> set[str]:
    found = (MODULE / folder).rglob(pattern)
    return {path.relative_to(MODULE).as_posix() for path in found if path.is_file() and "__pycache__" not in path.parts}


def test_every_python_file_is_listed_and_there():
    assert listed("MODULE_PYTHON_SCRIPTS") == {"SlicerXAI.py", *relative("SlicerXAILib", "*.py")}


def test_every_resource_is_listed_and_there():
    assert listed("MODULE_PYTHON_RESOURCES") == relative("Resources", "*")


def where_they_find_each_other(home: Path) -> list[str]:
    """What module and engine say in a process where only ``home`` is importable: engine, module, shipped bundles."""
    for package in ("slicer", "slicer_core"):
        (home / f"{package}.py").write_text("")
    code = (
        "from SlicerXAILib.places import engine_folder\n"
        "import runpy\n"
        "engine = engine_folder() / 'camlime'\n"
        "shipped = runpy.run_path(str(engine / 'bundle' / 'shipped.py'))\n"
        "process = runpy.run_path(str(engine / 'export' / 'scene' / 'process.py'))\n"
        "print(engine_folder()); print(process['module_folder']()); print(*shipped['shipped_bundles']())"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=home, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def test_in_a_wheel_module_and_engine_find_each_other(tmp_path):
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")
    targets = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    left_out = shutil.ignore_patterns("__pycache__", "*.pt", "*.ts")
    for source, target in {"camlime": "camlime", **targets["wheel"]["force-include"]}.items():
        shutil.copytree(ROOT / source, tmp_path / target, ignore=left_out)
        assert any((ROOT / source).is_relative_to(ROOT / folder) for folder in targets["sdist"]["include"])
    module = tmp_path / "camlime" / "slicer_module"
    engine, found, bundles = where_they_find_each_other(module)
    assert Path(engine).samefile(tmp_path) and Path(found).samefile(module)
    assert bundles.split() == sorted(p.name for p in (ROOT / "monai_bundle").iterdir() if (p / "configs").is_dir())


@pytest.mark.skipif(
    shutil.which("cmake") is None or shutil.which("c++") is None,
    reason="cmake or a C++ compiler is not installed (Debian packages cmake, g++)",
)
def test_cmake_installs_an_extension_whose_module_finds_engine_and_bundles(tmp_path):
    package = tmp_path / "slicer"
    package.mkdir()
    (package / "SlicerConfig.cmake").write_text(STAND_IN)
    (package / "nothing.cmake").write_text("")
    build, prefix = tmp_path / "build", tmp_path / "installed"
    for command in (
        [
            "cmake",
            "-S",
            str(ROOT),
            "-B",
            str(build),
            f"-DSlicer_DIR={package}",
            f"-DCMAKE_INSTALL_PREFIX={prefix}",
            *WORKING,
        ],
        ["cmake", "--install", str(build)],
    ):
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
    home = prefix / "lib" / "Slicer" / "qt-scripted-modules"
    engine, module, bundles = where_they_find_each_other(home)
    assert Path(engine).samefile(home / "SlicerXAIEngine") and Path(module).samefile(home)
    assert bundles.split() == sorted(p.name for p in (ROOT / "monai_bundle").iterdir() if (p / "configs").is_dir())


def test_the_index_entry_fits_the_extension():
    """The schema of the Extensions Index, version 1.0.1, says which keys there may be."""
    entry = json.loads((ROOT / "XAI.json").read_text())
    assert {"$schema", "category", "scm_url"} <= set(entry)
    assert set(entry) <= {
        *("$schema", "category", "scm_url", "scm_revision", "scm_type", "build_dependencies", "build_subdirectory"),
        *("dicom_support_rule", "enabled", "tier"),
    }
    cmake = (ROOT / "CMakeLists.txt").read_text()
    assert re.search(r"^project\((\w+)\)", cmake, re.MULTILINE)[1] == "XAI"
    assert f'set(EXTENSION_CATEGORY "{entry["category"]}")' in cmake
    assert f'translate("qSlicerAbstractCoreModule", "{entry["category"]}")' in (MODULE / "SlicerXAI.py").read_text()
    assert f"category *{entry['category']}*" in (ROOT / "docs" / "slicer.md").read_text()
    assert f'set(EXTENSION_DEPENDS "{" ".join(entry["build_dependencies"])}")' in cmake
    pictures = re.findall(r"https://raw\.githubusercontent\.com/SlicerXAI/SlicerXAI/main/([\w./]+)", cmake)
    assert len(pictures) >= 2
    for path in pictures:
        assert (ROOT / path).is_file(), path


def test_what_else_the_index_asks_for():
    """As its check of new entries and its list for reviewers say: a licence by this name, size, home page."""
    assert "Apache License" in (ROOT / "LICENSE.txt").read_text()[:400]
    page = (ROOT / "README.md").read_text()
    assert "XAI: explain a classifier" in page
    assert "Apache License" in page
    assert "docs/images/slicer_overlay.png" in page
    entry = json.loads((ROOT / "XAI.json").read_text())
    assert entry["category"] in ACCEPTED
    assert re.search(r'set\(EXTENSION_HOMEPAGE "(.*)"\)', (ROOT / "CMakeLists.txt").read_text())[1] in entry["scm_url"]


ACCEPTED = {"Informatics", "Quantification", "Segmentation", "Utilities"}
"""Categories that the index accepts and that are menus of Slicer's own modules as well, those that come near."""


def test_what_is_installed_in_slicer_is_what_the_engine_needs():
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    lines = (MODULE / "Resources" / "requirements.txt").read_text().splitlines()
    asked = {line for line in lines if line and not line.startswith("#")}
    assert asked == {one for one in wanted if not one.startswith(("numpy", "SimpleITK"))}
    assert not any("==" in line for line in asked)


def file_scope_imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("path", sorted(MODULE.rglob("*.py")), ids=lambda path: path.name)
def test_no_import_at_file_scope_needs_more_than_slicer_has(path):
    allowed = {*sys.stdlib_module_names, "slicer", "vtk", "qt", "ctk", "numpy", "SlicerXAILib"}
    for name in file_scope_imports(path):
        assert name.partition(".")[0] in allowed or name in LIGHT, f"{path.name} imports {name}"


LIGHT = {
    *("camlime.archives", "camlime.attribution", "camlime.errors", "camlime.levels", "camlime.overview.words"),
    *("camlime.palette", "camlime.worker.requests"),
}
"""Parts of the engine that need numpy at most; the next test holds them to it."""


@pytest.mark.parametrize("name", [*sorted(LIGHT), "camlime.worker.client"])
def test_parts_of_the_engine_that_the_module_imports_are_light(name):
    code = f"import sys, {name}; print(*{{m.partition('.')[0] for m in sys.modules}} & {{'torch', 'monai', 'scipy'}})"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""


def test_every_text_of_the_panel_can_be_translated():
    """In the .ui all strings but those that are not words; in Python what is put on a control goes through _()."""
    tree = ElementTree.parse(MODULE / "Resources" / "UI" / "SlicerXAI.ui")
    for widget in tree.iter("widget"):
        for field in widget.findall("property"):
            if field.get("name") in ("text", "toolTip", "noneDisplay"):
                assert field.find("string").get("notr") != "true", widget.get("name")
    bare = re.compile(r"\.(?:text|toolTip) = f?\"[A-Za-z]")
    for path in MODULE.rglob("*.py"):
        assert not bare.search(path.read_text()), path.name
