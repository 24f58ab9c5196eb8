"""The texts that are timed: for each shape a function of its size."""

from __future__ import annotations

from pathlib import Path


def siblings(count: int) -> str:
    """Make components that extend a template of 17 attributes and 3 references; two overridden."""
    template = " ".join(f"a{i} {i};" for i in range(17))
    template += " near a3; outer PARENT:shared; top rootValue;"
    body = "\n".join(f'  vm{i} extends T {{ a1 {i}; a2 "n{i}"; }}' for i in range(count))
    return (
        f"rootValue 7;\nT extends {{ {template} }}\nsfConfig extends {{\n  shared 3;\n{body}\n}}\n"
    )


def groups(count: int) -> str:
    """Make groups of 100 siblings."""
    template = " ".join(f"a{i} {i};" for i in range(17))
    template += " near a3; outer PARENT:shared; top rootValue;"
    each = count // 100
    parts = []
    for group in range(each):
        body = " ".join(f"vm{i} extends T {{ a1 {i}; a2 {group}; }}" for i in range(100))
        parts.append(f"  g{group} extends {{ shared {group}; {body} }}")
    inside = "\n".join(parts)
    return f"rootValue 7;\nT extends {{ {template} }}\nsfConfig extends {{\n{inside}\n}}\n"


def by_set(count: int) -> str:
    """Make the copies with the function `Set`."""
    template = " ".join(f"a{i} {i};" for i in range(17)) + " near a3; top rootValue;"
    return (
        '#include "org/smartfrog/functions.sf"\n'
        f"rootValue 7;\nT extends {{ {template} }}\n"
        f"sfConfig extends {{ all extends Set {{ setElem extends T; setSize {count}; }} }}\n"
    )


def prototype_chains(count: int) -> str:
    """Make chains of ten templates, each adding an attribute, and one user of each chain."""
    parts = []
    users = []
    for chain in range(count // 10):
        parts.append(f"c{chain}_0 extends {{ x0 0; }}")
        parts.extend(f"c{chain}_{i} extends c{chain}_{i - 1} {{ x{i} {i}; }}" for i in range(1, 10))
        users.append(f"u{chain} extends c{chain}_9;")
    return "\n".join([*parts, "sfConfig extends {", *users, "}"])


def placements(count: int) -> str:
    """Place one value into each of many components."""
    parts = [
        f"vm{i} extends {{ net extends {{ mtu 1500; }} }} vm{i}:net:mtu {i};" for i in range(count)
    ]
    inside = "\n".join(parts)
    return f"sfConfig extends {{\n{inside}\n}}\n"


def wide_vectors(count: int) -> str:
    """Write one vector, half of it references."""
    items = ", ".join(f"{i}, x" for i in range(count // 2))
    return f"sfConfig extends {{ x 1; v [{items}]; }}\n"


def templates(count: int) -> str:
    """Make many templates of twenty attributes, each used once."""
    body = " ".join(f"a{i} {i};" for i in range(20))
    parts = [f"T{i} extends {{ {body} }}" for i in range(count)]
    users = [f"u{i} extends T{i} {{ a0 {i}; }}" for i in range(count)]
    return "\n".join([*parts, "sfConfig extends {", *users, "}"])


def includes(count: int, folder: Path) -> Path:
    """Write many small files and one that includes them all; return that one."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        (folder / f"part{i}.sf").write_text(f"P{i} extends {{ a {i}; b a; }}\n")
    names = "\n".join(f'#include "part{i}.sf"' for i in range(count))
    users = "\n".join(f"u{i} extends P{i};" for i in range(count))
    main = folder / "main.sf"
    main.write_text(f"{names}\nsfConfig extends {{\n{users}\n}}\n")
    return main


def siblings_jsonnet(count: int) -> str:
    """Make the input of `siblings` for Jsonnet."""
    fields = ", ".join(f"a{i}: {i}" for i in range(17))
    body = ",\n".join(f"  vm{i}: T {{ a1: {i}, a2: 'n{i}' }}" for i in range(count))
    return (
        f"local rootValue = 7;\nlocal shared = 3;\n"
        f"local T = {{ {fields}, near: self.a3, outer: shared, top: rootValue }};\n"
        f"{{\n  shared: shared,\n{body}\n}}\n"
    )


def siblings_hcl(count: int) -> str:
    """Write the result of `siblings` for HCL: the parser alone has no templates."""
    fields = "\n".join(f"  a{i} = {i}" for i in range(17) if i not in (1, 2))
    refs = "  near = local.a3\n  outer = local.shared\n  top = local.rootValue"
    return "\n".join(
        f'resource "vm" "vm{i}" {{\n  a1 = {i}\n  a2 = "n{i}"\n{fields}\n{refs}\n}}'
        for i in range(count)
    )


TEXTS = {
    "siblings": siblings,
    "groups of 100": groups,
    "copies by Set": by_set,
    "prototype chains": prototype_chains,
    "placements": placements,
    "wide vector": wide_vectors,
    "templates": templates,
}
