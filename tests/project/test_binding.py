"""The text of the binding: what would be safe with a GIL alone is not written in it.

csrc/README.md has the rules. Each pattern here is tried on a line that breaks its rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from paths import ROOT

BINDING = ROOT / "csrc" / "binding"
FILES = sorted(BINDING.glob("*.[ch]"))


def without_comments(text: str) -> str:
    """C text with blanks in the place of comments and strings."""
    pattern = r"/\*.*?\*/|\"(?:\\.|[^\"\\])*\""
    return re.sub(pattern, lambda found: re.sub(r"[^\n]", " ", found[0]), text, flags=re.DOTALL)


# What must not be written: the pattern, the files that may, and lines that it finds.
FORBIDDEN: dict[str, tuple[str, set[str], list[str]]] = {
    "an item of a list that others can change": (
        r"\bPyList_(GET_ITEM|GetItem)\b|\bPySequence_(Fast\w*|ITEM)\b",
        set(),
        ["item = PyList_GET_ITEM(list, i);", "PyList_GetItem(list, 0)", "PySequence_Fast(o, s)"],
    ),
    "a tuple of a list that the collector may change meanwhile": (
        r"\bPySequence_Tuple\b",
        {"hold.h"},
        ["items = PySequence_Tuple(value);"],
    ),
    "a borrowed value of a dict": (
        r"\bPyDict_(GetItem(String|WithError)?|Next|SetDefault)\b",
        {"hold.h"},
        [
            "PyDict_GetItem(d, k)",
            "PyDict_GetItemString(d, s)",
            "while (PyDict_Next(d, &p, &k, &v))",
        ],
    ),
    "a borrowed reference to what is found": (
        r"\bPyWeakref_(GetObject|GET_OBJECT)\b|\bPyImport_AddModule\b|\bPySys_GetObject\b"
        r"|\bPyEval_Get\w+\b|\bPyCell_GET\b|\bPyThreadState_GetDict\b",
        set(),
        ["PyWeakref_GetObject(ref)", "PyImport_AddModule(name)", "PyEval_GetGlobals()"],
    ),
    "a member that changes outside of member.h": (
        r"\bunlocked\b|\bPy_X?SETREF\b|Py_(BEGIN|END)_CRITICAL_SECTION",
        {"member.h"},
        ["self->record.unlocked = value;", "Py_XSETREF(self->record, value);"],
    ),
    "the GIL of the main interpreter": (
        r"\bPyGILState_\w+|\bPyInterpreterState_(Main|Head)\b",
        set(),
        ["state = PyGILState_Ensure();"],
    ),
    "keyword arguments that are not copied": (
        r"METH_KEYWORDS|\bPy_tp_new,(?!\s*\(void \*\)FTA_KEYWORDS_NAME\b)",
        {"keywords.h"},
        ["(PyCFunction)f, METH_VARARGS | METH_KEYWORDS, doc", "{Py_tp_new, (void *)key_new},"],
    ),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_the_binding_does_not_have(what: str) -> None:
    pattern, files, _lines = FORBIDDEN[what]
    for path in FILES:
        found = re.search(pattern, without_comments(path.read_text("utf-8")))
        assert path.name in files or not found, f"{path.name} has {what}: {found}"
    for name in files:  # or the exception is of no use
        assert re.search(pattern, without_comments((BINDING / name).read_text("utf-8")))


@pytest.mark.parametrize(
    ("what", "line"), [(what, line) for what, (*_, lines) in FORBIDDEN.items() for line in lines]
)
def test_each_pattern_finds(what: str, line: str) -> None:
    assert re.search(FORBIDDEN[what][0], without_comments(line))


def test_what_is_in_comments_and_strings_is_not_code() -> None:
    text = 'a /* PyList_GET_ITEM\n */ b "PyDict_Next \\" x" c'
    assert without_comments(text).split() == ["a", "b", "c"]


# --- objects that Python reads as attributes ---------------------------------------------------


def exposed_members(text: str) -> Iterator[tuple[str, str]]:
    """Yield the struct and the member of each row of a PyMemberDef table."""
    for table in re.findall(r"PyMemberDef \w+\[\] = \{(.*?)\n\};", text, re.DOTALL):
        yield from re.findall(r"offsetof\((\w+),\s*(\w+)\)", table)


def declaration(struct: str, member: str, text: str) -> str:
    """The type of a member that a struct declares itself; empty if it does not."""
    body = re.search(rf"typedef struct {struct} \{{(.*?)\n\}} {struct};", text, re.DOTALL)
    assert body, f"struct {struct} is missing"
    found = re.search(rf"^\s*([\w ]+[\w*]\s?\*?){member};", body[1], re.MULTILINE)
    return found[1].strip() if found else ""


def may_be_exposed(kind: str) -> bool:
    """Whether a PyMemberDef may show it: it never changes, which an fta_member or a flag may."""
    return kind in {"PyObject *", "vectorcallfunc", "char", "long long", "unsigned int"} or (
        kind == "Py_ssize_t"
    )


def test_only_members_that_never_change_are_in_a_member_table() -> None:
    everything = "\n".join(without_comments(path.read_text("utf-8")) for path in FILES)
    exposed = set(exposed_members(everything))
    assert ("fta_keyring_object", "keys") in exposed
    for struct, member in exposed:
        kind = declaration(struct, member, everything)
        assert may_be_exposed(kind), f"{struct}.{member} is {kind or 'of a list'}"


def test_a_member_that_changes_is_found_in_a_member_table() -> None:
    text = """
typedef struct box {
    PyObject_HEAD
    fta_member value;
    atomic_bool open;
    PyObject *name;
} box;
static PyMemberDef box_members[] = {
    {"value", T_OBJECT, offsetof(box, value), 0, NULL},
    {"open", T_BOOL, offsetof(box, open), 0, NULL},
    {"name", T_OBJECT, offsetof(box, name), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};
"""
    kinds = {member: declaration("box", member, text) for _, member in exposed_members(text)}
    assert {name for name, kind in kinds.items() if not may_be_exposed(kind)} == {"value", "open"}


# --- what all interpreters of a process share --------------------------------------------------

# Tables that CPython reads and never writes, though their types have no const.
TABLES = (
    r"Py(MethodDef|GetSetDef|MemberDef|Type_Slot|Type_Spec|ModuleDef_Slot)\b"
    r"|struct PyModuleDef\b|char \*keywords\[\]"
)


def variables_that_change(text: str) -> list[str]:
    """Find variables outside of functions, and static ones, that are neither const nor a table."""
    static = r"^[ ]*(static [^();{=]+?)\s*[=;]"
    shared = r"^((?!static|typedef|extern|const)\w[\w *]*?[ *]\w+(?:\[\w*\])?)\s*="
    found = re.findall(static, text, re.MULTILINE) + re.findall(shared, text, re.MULTILINE)
    never_written = rf"{TABLES}|\*\s*const\b|\bconst\b[^*]*$"
    return [line for line in found if not re.search(never_written, line)]


def test_interpreters_share_no_variable_of_the_binding() -> None:
    for path in FILES:
        assert not variables_that_change(without_comments(path.read_text("utf-8"))), path.name


def test_interpreters_share_only_three_variables_of_the_core() -> None:
    """The clock and the allocator, which tests alone replace, and what hiredis only reads."""
    found = {
        path.name
        for path in (ROOT / "csrc").glob("**/*.c")
        if variables_that_change(without_comments(path.read_text("utf-8")))
    }
    assert found == {"clock.c", "alloc.c", "reply.c"}


@pytest.mark.parametrize(
    "line",
    [
        "static PyObject *cache;",
        "static int count = 0;",
        "    static bool done = false;",
        "PyObject *shared = NULL;",
        "static const char *last;",
    ],
)
def test_a_variable_that_changes_is_found(line: str) -> None:
    assert variables_that_change(line)


@pytest.mark.parametrize(
    "line",
    [
        "static const uint8_t table[] = {1};",
        "static const char *const names[] = {0};",
        "static char *keywords[] = {NULL};",
        "static PyMethodDef methods[] = {0};",
        "static PyObject *make(void);",
    ],
)
def test_a_variable_that_never_changes_is_not_found(line: str) -> None:
    assert not variables_that_change(line)


def test_every_file_of_the_binding_is_read() -> None:
    assert {Path("module.c"), Path("member.h")} <= {Path(path.name) for path in FILES}


# --- the table of what protects each object ----------------------------------------------------

RULES = (ROOT / "csrc" / "README.md").read_text("utf-8")
CHANGES = r"\b(fta_member|fta_numbered_member|atomic_\w+|_Atomic)\b"
# The types whose objects have what the files of a folder change without the GIL.
CORE: dict[str, set[str]] = {
    "audit": {"AuditLog"},
    "base": {"KeyCache", "Limiter", "Metrics", "Permits", "Revocations"},
    "concurrency": {"Permits"},
    "limit": {"Reservation"},
    "limit/lease": {"Limiter"},
    "limit/redis": {"Limiter"},
    "limit/shm": {"Limiter"},
    "metrics": {"Metrics"},
    "redis": {"Limiter", "RedisClient"},
    "session": {"KeyCache", "Revocations"},
    "token": {"Key", "Keyring", "Roles"},
}


def listed(rules: str) -> tuple[set[str], set[str]]:
    """The types that the table says to change, and those that the sentence below it says not to."""
    rows = set(re.findall(r"^\| `(\w+)` \|", rules, re.MULTILINE))
    sentence = re.search(r"\n\n([^\n]+(?:\n[^\n]+)?) never change after they are\s+made", rules)
    assert sentence
    return rows & set(types()), set(re.findall(r"`(\w+)`", sentence[1]))


def types() -> dict[str, str]:
    """Each type of the module, with the text of its files."""
    found = {}
    for path in sorted(BINDING.glob("type_*.c")):
        header = path.with_suffix(".h")
        text = path.read_text("utf-8") + (header.read_text("utf-8") if header.exists() else "")
        for name in re.findall(r'\.name = "flask_tenant_auth\._core\.(\w+)"', text):
            found[name] = without_comments(text)
    return found


def changing_structs(text: str) -> list[str]:
    """The structs in a text that have a member which changes."""
    structs = re.findall(r"typedef struct \w+ \{(.*?)\n\} (\w+);", text, re.DOTALL)
    return [name for body, name in structs if "PyObject_HEAD" in body and re.search(CHANGES, body)]


def test_the_rules_say_of_every_type_whether_it_changes() -> None:
    change, never = listed(RULES)
    assert change | never == set(types())
    assert not change & never


def test_what_the_rules_say_never_changes_has_no_member_that_does() -> None:
    _change, never = listed(RULES)
    wrong = {name: changing_structs(text) for name, text in types().items() if name in never}
    assert not any(wrong.values()), wrong
    assert changing_structs(types()["RequestRecord"]) == ["fta_request_record"]


def test_the_rules_list_what_the_core_changes_without_the_gil() -> None:
    found = {
        str(path.parent.relative_to(ROOT / "csrc"))
        for path in (ROOT / "csrc").glob("**/*.[ch]")
        if re.search(rf"{CHANGES}|\bpthread_mutex_t\b", without_comments(path.read_text("utf-8")))
    }
    assert found - {"binding"} == set(CORE)
    assert set.union(*CORE.values()) <= listed(RULES)[0]
