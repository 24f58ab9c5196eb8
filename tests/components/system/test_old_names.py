"""Descriptions written for SmartFrog find programs, files and checks under the names they know."""

from __future__ import annotations

import pytest

import sfdl
from engine.runtime.types import Types

HOME = "org/smartfrog/services"
NAMES = {
    "shellscript": ("BashShell", "Script"),
    "filesystem": (
        "File", "TextFile", "TempFile", "TempDir", "Mkdir", "CopyFile", "DeleteFile", "Touch", "TouchFile",
        "Chmod", "AppendLines", "ReplaceVars", "Files", "Delete", "Copy",
    ),
    "os/runcmd": ("RunProcess", "RunCommand", "Run"),
    "os/download": ("Download",),
    "net": ("LocalHost", "PortCheck", "HttpCheck", "DnsCheck"),
}  # fmt: skip
GIVEN = (
    'filename "/x"; dir "/x"; source "/y"; destination "/x"; lines []; vars extends DATA { a 1; } '
    'mode "0600"; cmd ["true"]; url "http://x/"; to "/x"; target "x:1"; shell LAZY ATTRIB x;'
)


@pytest.mark.parametrize(
    ("folder", "name"), [(folder, name) for folder, names in NAMES.items() for name in names]
)
def test_the_old_name_leads_to_a_type_of_ours(folder, name):
    text = f'#include "{HOME}/{folder}/components.sf"\nsfConfig extends {name} {{ {GIVEN} }}'

    root = sfdl.compile(text).root

    assert Types().component(root.get("sfClass"), where="x").__module__.startswith("components.")
