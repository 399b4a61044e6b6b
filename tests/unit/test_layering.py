"""The checker of the layers: it passes our tree, and catches each thing that it is there to catch."""

import pytest

from tools.layering import APPLICATIONS, MAX_LINES, SOURCE_ROOTS, Module, check, read_modules
from tools.protos import ROOT


def module(name: str, text: str, *, is_package: bool = False) -> Module:
    return Module(name, f"{name}.py", text, is_package)


def test_our_own_tree_keeps_the_rules() -> None:
    assert check(read_modules()) == []


@pytest.mark.parametrize("package", SOURCE_ROOTS)
def test_each_source_root_holds_one_typed_package(package: str) -> None:
    root = ROOT / SOURCE_ROOTS[package]
    packages = [path.name for path in root.iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert packages == [package]
    assert (root / package / "py.typed").is_file()
    assert any(module.name == package for module in read_modules())


@pytest.mark.parametrize("application", APPLICATIONS)
def test_applications_may_import_what_is_below_them(application: str) -> None:
    text = "import hotspare_rpc.server\nfrom hotspare.v1 import alarm_pb2\nfrom hotspare_model import dc09\n"
    assert check([module(f"{application}.app", text)]) == []


@pytest.mark.parametrize(
    ("application", "complaints"),
    [("hotspare_cloud", 0), ("hotspare_receiver", 0), ("hotspare_cli", 1), ("hotspare_sim", 1)],
)
def test_only_cloud_and_receiver_store_anything(application: str, complaints: int) -> None:
    assert len(check([module(f"{application}.app", "from hotspare_store import database\n")])) == complaints


@pytest.mark.parametrize("importer", APPLICATIONS)
@pytest.mark.parametrize("imported", APPLICATIONS)
def test_applications_never_import_each_other(importer: str, imported: str) -> None:
    found = check([module(f"{importer}.app", f"from {imported}.store import Store\n")])
    expected = [] if importer == imported else [f"{importer}.app.py:1: {importer} may not import {imported}"]
    assert found == expected


@pytest.mark.parametrize("imported", [*APPLICATIONS, "hotspare_rpc", "hotspare_store", "hotspare.v1"])
def test_the_model_imports_none_of_ours(imported: str) -> None:
    found = check([module("hotspare_model.alarm", f"import {imported}\n")])
    assert f"hotspare_model may not import {imported.partition('.')[0]}" in found[0]


@pytest.mark.parametrize("imported", [*APPLICATIONS, "hotspare_rpc", "hotspare.v1"])
def test_the_store_imports_only_the_model(imported: str) -> None:
    found = check([module("hotspare_store.database", f"import hotspare_model.lease, {imported}\n")])
    assert [line.rpartition(" ")[2] for line in found] == [imported.partition(".")[0]]


@pytest.mark.parametrize("imported", [*APPLICATIONS, "hotspare_store"])
def test_rpc_imports_neither_store_nor_application(imported: str) -> None:
    found = check([module("hotspare_rpc.server", f"import {imported}.main\n")])
    assert found == [f"hotspare_rpc.server.py:1: hotspare_rpc may not import {imported}"]


@pytest.mark.parametrize(
    "text",
    [
        "def late():\n    import hotspare_receiver\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from hotspare_receiver import app\n",
        "import json, hotspare_receiver.app as app\n",
    ],
)
def test_an_import_counts_wherever_it_stands(text: str) -> None:
    assert len(check([module("hotspare_cloud.app", text)])) == 1


@pytest.mark.parametrize(
    "pure", ["hotspare_model.lease", "hotspare_cloud.core.lease", "hotspare_receiver.pull.core.window"]
)
@pytest.mark.parametrize(
    "statement",
    [
        "import grpc",
        "import grpc.aio",
        "from grpc import StatusCode",
        "from google.protobuf import timestamp_pb2",
        "from google import protobuf",
        "from hotspare.v1 import alarm_pb2",
        "from hotspare import v1",
        "import sqlite3",
        "import sqlite_utils",
        "from asyncio import Event",
        "import time",
        "from time import monotonic",
        "import random",
        "import secrets",
        "import logging",
        "import threading",
        "import socket",
        "import datetime\nSTART = datetime.datetime.now()",
        "from datetime import datetime\nclock = datetime.now",
        "from datetime import date\nTODAY = date.today()",
        "import uuid\nmake_id = uuid.uuid4",
        "from uuid import uuid4",
        "import os\nsalt = os.urandom(8)",
        "grpc = __import__('grpc')",
        "from importlib import import_module",
    ],
)
def test_a_pure_part_depends_on_its_arguments_alone(pure: str, statement: str) -> None:
    assert len([line for line in check([module(pure, statement)]) if "a pure part" in line]) == 1


def test_a_pure_part_may_know_what_a_time_is() -> None:
    text = (
        "from datetime import UTC, datetime, timedelta\n"
        "from timeit import Timer\n"
        "from uuid import UUID\n"
        "def due(now: float) -> datetime:\n"
        "    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=now)\n"
    )
    assert check([module("hotspare_cloud.core.lease", text)]) == []


def test_the_shell_may_do_what_the_core_may_not() -> None:
    text = "import asyncio, grpc, sqlite3, time\nfrom datetime import datetime\nnow = datetime.now\n"
    assert check([module("hotspare_cloud.app", text), module("hotspare_cloud.hardcore", text)]) == []


def test_a_core_is_as_impure_as_what_it_gets_through_a_neighbour() -> None:
    core = module("hotspare_cloud.core.window", "from ..store import tables\n")
    found = check(
        [
            core,
            module("hotspare_cloud.store", "", is_package=True),
            module("hotspare_cloud.store.tables", "from hotspare_cloud.store import files\n"),
            module("hotspare_cloud.store.files", "import sqlite3\n"),
        ]
    )
    way = "hotspare_cloud.store.tables -> hotspare_cloud.store.files"
    assert found == [f"{core.path}:1: a pure part gets sqlite3 through {way}"]


def test_a_circle_of_imports_is_walked_once() -> None:
    modules = [
        module("hotspare_cloud.core.a", "from hotspare_cloud.core import b\n"),
        module("hotspare_cloud.core.b", "from hotspare_cloud.core import a\n"),
    ]
    assert check(modules) == []


@pytest.mark.parametrize(
    ("name", "is_package", "statement"),
    [
        ("hotspare_cloud.core.lease", False, "from . import clock"),
        ("hotspare_cloud.core.lease", False, "from .clock import now"),
        ("hotspare_cloud.core", True, "from .clock import now"),
        ("hotspare_cloud.core.deep.lease", False, "from ..clock import now"),
    ],
)
def test_relative_imports_are_followed(name: str, is_package: bool, statement: str) -> None:
    clock = module("hotspare_cloud.core.clock", "import time\n")
    found = check([module(name, f"{statement}\n", is_package=is_package), clock])
    assert f"{name}.py:1: a pure part gets time through hotspare_cloud.core.clock" in found


@pytest.mark.parametrize(("lines", "complaints"), [(MAX_LINES, 0), (MAX_LINES + 1, 1)])
def test_a_module_has_500_lines_at_most(lines: int, complaints: int) -> None:
    assert len(check([module("hotspare_cli.main", "x = 1\n" * lines)])) == complaints
