"""Files and folders of a host as components: made in one step, undone as they say."""

from components.files.components import (
    AppendLines,
    Chmod,
    CopyFile,
    DeleteFile,
    File,
    Files,
    Mkdir,
    ReplaceVars,
    TempDir,
    TempFile,
    TextFile,
    Touch,
)

__all__ = [
    "AppendLines",
    "Chmod",
    "CopyFile",
    "DeleteFile",
    "File",
    "Files",
    "Mkdir",
    "ReplaceVars",
    "TempDir",
    "TempFile",
    "TextFile",
    "Touch",
]
