"""What the API server refuses by itself, whether or not an operator runs."""

import asyncio
import json
import os
import random
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any, Final

import httpx2
import pytest
from lightkube import AsyncClient, KubeConfig
from lightkube.core.exceptions import ApiError
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap

from app.main import catalogue
from app.managers.rbac_rules import find_unknown
from app.schemas.permissions import (
    ANY,
    SIGNED_IN,
    Permission,
    PermissionMap,
    PermissionMapError,
    from_lines,
    load_file,
    parse_role,
    to_lines,
)
from app.schemas.permissions.names import ROLE_KEY
from gatehouse_operator.admission import (
    DELETION_COST,
    LABEL,
    MOST_CHARACTERS,
    MOST_LINES,
    MOST_ROLES,
    admission_manifests,
)
from gatehouse_operator.manifests import role_map_manifests
from gatehouse_operator.reconcile.role_maps import (
    FORCE,
    Compiled,
    Outcome,
    Source,
    decide,
)
from tests.e2e.conftest import RELEASE, Kubectl, Say, account

MAPS: Final = int(os.environ.get("SOAK_MAPS", "10000"))
AT_ONCE: Final = 12
SEEN_SECONDS: Final = 20.0
KNOWN: Final = catalogue()
LINES: Final = tuple(map(str, KNOWN.sayable()))
MADE_UP: Final = tuple(f"http GET /made-up/{n}" for n in range(250))
PERMISSIONS: Final = (*LINES, *MADE_UP)
"""As many as a large service has."""
BUILT_IN: Final = load_file(Path("actions.json"))
TAKEN: Final = {"taken": "ws ME\n"}
OLDER: Final = {**TAKEN, "boss": to_lines(BUILT_IN)["admin"]}
"""Another map."""
SAID: Final = re.compile(r"denied request: (?P<said>.*)", re.DOTALL)
FORCE_ASKED: Final = re.compile(rf"{FORCE}: (?P<digest>\w+) to mean it")
FOUND: Final = re.compile(r"(?P<key>[^:]+):(?P<line>\d+): ")


@pytest.fixture
def guarded(kubectl: Kubectl) -> Iterator[Kubectl]:
    """A namespace in which role maps are checked."""
    made = list(admission_manifests(kubectl.namespace, RELEASE, PERMISSIONS))
    for manifest in made:
        kubectl.apply(manifest)
    wait_for(lambda: refusal(kubectl, {"reader": "boo"}), "is none of")
    yield kubectl
    for manifest in made:
        if "Policy" in manifest["kind"]:
            kubectl(
                *("delete", "--wait=false", manifest["kind"]),
                manifest["metadata"]["name"],
            )


def wait_for(ask: Callable[[], str], part: str) -> None:
    """Wait until the API server has taken in what makes it say this."""
    deadline = time.monotonic() + SEEN_SECONDS
    while part not in ask():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _configmap(
    name: str, data: dict[str, str], labels: dict[str, str] | None = None
) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "labels": {LABEL: "true"} if labels is None else labels,
        },
        "data": data,
    }


def refusal(kubectl: Kubectl, data: dict[str, str], *who: str) -> str:
    """Why a map is refused; nothing if it is not."""
    return attempt(
        kubectl,
        *("create", "--dry-run=server", "--filename", "-", *who),
        stdin=json.dumps(_configmap("map", data)),
    )


def attempt(kubectl: Kubectl, *arguments: str, stdin: str = "") -> str:
    """What kubectl says against something; nothing if it is done."""
    try:
        kubectl(*arguments, stdin=stdin)
    except CalledProcessError as error:
        return str(error.stderr)
    return ""


def test_an_operator_changes_of_a_pod_what_it_costs(
    guarded: Kubectl,
) -> None:
    """And nothing else, though Kubernetes' rights would let it."""
    container = {"name": "one", "image": "registry.k8s.io/pause:3.10"}
    metadata = {"name": "pod", "annotations": {"kept": "yes"}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [container]},
    }
    guarded.apply(pod)
    rights = ("--resource=pods", "--verb=get", "--verb=patch")
    guarded("create", "role", "any", *rights)
    name = f"{RELEASE}-operator-rbac"
    who = f"system:serviceaccount:{guarded.namespace}:{name}"
    guarded("create", "rolebinding", "any", "--role=any", f"--user={who}")

    def refused(patch: dict[str, Any], *as_whom: str) -> str:
        return attempt(
            guarded,
            *("patch", "pod", "pod", "--type=merge", *as_whom),
            f"--patch={json.dumps(patch)}",
        )

    only = f"may change {DELETION_COST} and nothing else"
    tried = {"metadata": {"labels": {"app": "other"}}}
    wait_for(lambda: refused(tried, f"--as={who}", "--dry-run=server"), only)
    for patch in (
        {"spec": {"activeDeadlineSeconds": 9}},
        {"metadata": {"labels": {"app": "other"}}},
        {"metadata": {"annotations": {"kept": "no"}}},
        {"metadata": {"annotations": {"kept": None}}},
        {"metadata": {"annotations": {"more": "yes"}}},
        {"metadata": {"finalizers": ["example.com/mine"]}},
    ):
        assert only in refused(patch, f"--as={who}"), patch
    cost = {"metadata": {"annotations": {DELETION_COST: "8"}}}
    assert "" == refused(cost, f"--as={who}")
    assert "" == refused({"metadata": {"labels": {"app": "other"}}})


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"reader": "ws GET_AUTHORS\nwss ME"}, "reader:2: wss ME: is none of"),
        ({"reader": "ws NO_SUCH"}, "reader:1: ws NO_SUCH: is no permission"),
        ({"reader": "\nhttp GET /nope"}, "reader:2: http GET /nope: is no"),
        ({"a": "ws ME", "b": "# fine\nws\tME"}, "b:2: ws\tME: use plain"),
        ({".hidden": "ws ME"}, ".hidden: is no role name for a key"),
        ({"reader": f"include {SIGNED_IN}"}, "reader:1: include _signed-in"),
        ({"reader": "\n" * MOST_LINES}, f"at most {MOST_ROLES} roles"),
    ],
)
def test_a_bad_line_is_refused_and_named(
    guarded: Kubectl, data: dict[str, str], expected: str
) -> None:
    """By its role, its number and its text, in what kubectl prints."""
    assert expected in refusal(guarded, data)


def test_the_largest_maps_are_checked_to_their_last_line(
    guarded: Kubectl,
) -> None:
    """Whatever they are made of, a check costs less than is allowed."""
    wide = "http    DELETE  /authors/{id}          "
    for lines in (
        [LINES[n % len(LINES)] for n in range(MOST_LINES)],
        [f"{line:.36} #{'x' * 3}" for line in LINES * MOST_LINES][:MOST_LINES],
        [wide] * MOST_LINES,
        [f"  include   {'r' * 27}"] * MOST_LINES,
        [" " * 39] * MOST_LINES,
    ):
        size = MOST_LINES // MOST_ROLES
        whole = {
            f"role{n}": "\n".join(lines[n * size : n * size + size])
            for n in range(MOST_ROLES)
        }
        one = {"role": "\n".join(lines)}
        for data in (whole, one):
            if "#" not in lines[0]:
                assert "" == refusal(guarded, data)
            key = max(data)
            bad = {**data, key: data[key].rpartition("\n")[0] + "\nboo"}
            assert "boo: is none of" in refusal(guarded, bad)


def faults_of(data: dict[str, str]) -> set[tuple[str, int]]:
    """Where Python finds fault with a map; line 0 is the role's name."""
    found: set[tuple[str, int]] = set()
    for key, text in data.items():
        if key != SIGNED_IN and not re.fullmatch(ROLE_KEY, key):
            found.add((key, 0))
        for number, line in enumerate(text.split("\n"), start=1):
            if _is_bad(key, line):
                found.add((key, number))
    return found


def is_unreadable(data: dict[str, str]) -> bool:
    """Say whether a map is none, whatever permissions there are."""
    try:
        from_lines({**OLDER, **data})
    except PermissionMapError:
        return True
    return False


def _is_bad(key: str, line: str) -> bool:
    try:
        permissions = parse_role(key, line).permissions
    except PermissionMapError:
        return True
    return any(find_unknown(_only(one), KNOWN) for one in permissions)


def _only(permission: Permission) -> PermissionMap:
    """A map of one permission."""
    return from_lines({SIGNED_IN: permission})


def is_within_size(data: dict[str, str]) -> bool:
    """Say whether a map is no larger than is stated."""
    lines = sum(text.count("\n") + 1 for text in data.values())
    return (
        len(data) <= MOST_ROLES
        and lines <= MOST_LINES
        and sum(map(len, data.values())) <= MOST_CHARACTERS
    )


HOSTILE: Final = (
    *("\t", "\r", "\x00", "\x0b", "\x1b", "\x7f", "\x85", "\xa0", "\xad"),
    *("\u1680", "\u180e", "\u200b", "\u200e", "\u2028", "\u202e", "\u2060"),
    *("\u3000", "\ufeff", "\ufffa", "é", "\u0130", "ﬀ", "\U0001f600", "  "),
    *(" #", "#", "\\", "'", '"', "{", "}", "$", "*", ":", "\ufffd", "\u0430"),
)
WORDS: Final = (
    *("ws", "http", "include", "WS", "Http", "wss", "*", "ANY", "0", "1"),
    *("01", "999999999", "1000000000", "GET", "get", "BREW", "/authors", "/"),
    *("/authors/{id}", "/authors/-id_", ".authors", "authors", "GET_AUTHORS"),
    *("GET_AUTHORS#", "#", "#comment", SIGNED_IN, "reader", "a/b", "-", ""),
)
KEYS: Final = (
    *("reader", "editor", "admin", SIGNED_IN, "_x", "a.b", "a-b", "0"),
    *("-a", ".a", "A", "_signed-in.", "x" * 253, "x" * 254, "a/b", "ä", ""),
)


def a_line(chance: random.Random) -> str:
    """A line, more often good than not."""
    kind = chance.random()
    if kind < 0.6:
        return chance.choice(LINES)
    if kind < 0.7:
        return f"include {chance.choice(KEYS)}"
    if kind < 0.75:
        return f"  # {chance.choice(HOSTILE)} said"
    if kind < 0.78:
        return "x" * chance.choice((1999, 2000, 2001))
    if kind < 0.8:
        return " " * chance.choice((1, 7, 8, 9, 63, 64, 1999, 2000, 2001))
    words = [chance.choice(WORDS) for _ in range(chance.randrange(6))]
    return chance.choice((" ", "  ", " " * 9)).join(words)


def a_text(chance: random.Random) -> str:
    """The text of a role."""
    lines = [a_line(chance) for _ in range(chance.choice((0, 1, 2, 5, 30)))]
    if chance.random() < 0.4:
        lines = [line for line in lines if line in LINES]
    text = chance.choice(("\n",) * 9 + ("\r\n",)).join(lines)
    if text and chance.random() < 0.2:
        at = chance.randrange(len(text))
        text = text[:at] + chance.choice(HOSTILE) + text[at:]
    return text + chance.choice(("", "\n", "\n\n"))


def a_circle(chance: random.Random) -> dict[str, str]:
    """Roles that include each other, each good for itself."""
    size = chance.randrange(1, 6)
    found = {}
    for n in range(size):
        lines = chance.sample(LINES, 3)
        lines.insert(chance.randrange(4), f"include r{(n + 1) % size}")
        found[f"r{n}"] = "\n".join(lines)
    return found


class Operator:
    """What the operator decides on a map that is edited again and again.

    There is an older one beside it, which has the role `taken`.
    """

    def __init__(self) -> None:
        self._older = Source("uid-1", "older", "2026-01-01", 1, OLDER)
        self._version = 1
        self._compiled = self._decide([self._older], None).compiled

    def edit(self, data: dict[str, str], force: str | None = None) -> str:
        """Have a map edited, and return why it is not taken.

        The last good one stays then, and all that is said names a place. One
        that takes much away is annotated, as the operator asks for.
        """
        self._version += 1
        edited = Source(
            "uid-2", "edited", "2026-01-02", self._version, data, force
        )
        before = self._compiled
        outcome = self._decide([self._older, edited], before)
        self._compiled = after = outcome.compiled
        same = before.permission_map.digest == after.permission_map.digest
        assert after.revision - before.revision == (0 if same else 1)
        findings = [f for one in outcome.rejected for f in one.findings]
        if findings:
            assert same
            asked = FORCE_ASKED.search(findings[0])
            if asked:
                assert force is None
                return self.edit(data, asked["digest"])
            key = re.compile("|".join(re.escape(k) for k in data))
            for said in findings:
                assert key.match(said) or "is no role name" in said, said
        return "; ".join(findings)

    def _decide(
        self, sources: list[Source], compiled: Compiled | None
    ) -> Outcome:
        return decide(sources, compiled, BUILT_IN, admin_role="admin")


def a_map(chance: random.Random) -> dict[str, str]:
    """A map: small mostly, and sometimes far too large."""
    kind = chance.random()
    if kind < 0.01:
        return {
            "reader": chance.choice(HOSTILE) * chance.choice((2**18, 2**20))
        }
    if kind < 0.02:
        return {f"role{n}": "ws ME" for n in range(chance.choice((999, 1001)))}
    if kind < 0.05:
        return a_circle(chance)
    if kind < 0.06:
        return {**TAKEN, "other": chance.choice(LINES)}
    roles = chance.choice((0, 1, 1, 2, 4))
    keys = KEYS[:8] if chance.random() < 0.8 else KEYS
    return {chance.choice(keys): a_text(chance) for _ in range(roles)}


async def test_python_and_cel_agree_on_every_map(
    guarded: Kubectl, say: Say
) -> None:
    """Whatever it is made of; and the line that is named is a bad one."""
    seed = int(os.environ.get("SOAK_SEED") or secrets.randbelow(10**6))
    chance = random.Random(seed)
    config = KubeConfig.from_env().get()
    client = AsyncClient(
        config,
        namespace=guarded.namespace,
        dry_run=True,
        timeout=httpx2.Timeout(60),
    )
    places = asyncio.Semaphore(AT_ONCE)
    counts: Counter[str] = Counter()
    operator = Operator()

    async def try_one(data: dict[str, str]) -> None:
        async with places:
            said = await said_of(client, data)
        verdict = judge(data, said)
        counts[verdict] += 1
        why = operator.edit(data)
        if not why:
            assert not is_unreadable(data), data
        if verdict == "good":
            counts["circles"] += "includes go in a circle" in why
            counts["roles of two maps"] += "taken: is a role of" in why
            counts["in force"] += not why

    async with client, asyncio.TaskGroup() as group:
        for _ in range(MAPS):
            group.create_task(try_one(a_map(chance)))
    say(f"{MAPS} maps, seed {seed}: {counts}")
    assert min(counts["good"], counts["bad"], counts["in force"]) > MAPS / 10
    assert min(counts["circles"], counts["roles of two maps"]) > MAPS / 200


async def said_of(client: AsyncClient, data: dict[str, str]) -> str | None:
    """What the API server says against a map; None if nothing."""
    metadata = ObjectMeta(name="map", labels={LABEL: "true"})
    try:
        await client.create(ConfigMap(metadata=metadata, data=data))
    except ApiError as error:
        return str(error.status.message)
    return None


def judge(data: dict[str, str], said: str | None) -> str:
    """Hold what was said against what Python finds."""
    match = SAID.search(said or "")
    if said is not None and match is None:
        assert "ConfigMap" in said or "limit" in said, said
        return "no ConfigMap"
    if not is_within_size(data):
        assert match is not None, "too large, and accepted"
        assert match["said"].startswith("a role map has at most")
        return "too large"
    faults = faults_of(data)
    if match is None:
        assert set() == faults, data
        return "good"
    named = FOUND.match(match["said"])
    key = match["said"].partition(":")[0]
    where = (named["key"], int(named["line"])) if named else (key, 0)
    assert where in faults, (said, data)
    return "bad"


def test_who_may_edit_configmaps_may_not_edit_role_maps(
    guarded: Kubectl,
) -> None:
    """In no way; but with the virtual verb he may."""
    guarded("create", "serviceaccount", "somebody")
    guarded(
        *("create", "role", "configmaps", "--verb=*"),
        "--resource=configmaps",
    )
    bind(guarded, "configmaps")
    who = (
        f"--as=system:serviceaccount:{guarded.namespace}:somebody",
        "--as-group=system:authenticated",
    )
    good = {"reader": "ws ME"}
    plain = json.dumps(_configmap("plain", good, labels={}))
    there = json.dumps(_configmap("there", good))
    guarded("create", "--filename", "-", stdin=there)
    assert "" == attempt(
        guarded, "create", "--filename", "-", *who, stdin=plain
    )
    edits = (
        ("create", "--filename", "-"),
        ("label", "configmap", "plain", f"{LABEL}=true"),
        ("label", "configmap", "there", f"{LABEL}-"),
        ("label", "configmap", "there", f"{LABEL}=false", "--overwrite"),
        ("annotate", "configmap", "there", "gatehouse.dev/force=1"),
        ("patch", "configmap", "there", "--patch", '{"data":{"reader":""}}'),
        ("delete", "configmap", "there"),
        ("delete", "configmaps", "--all"),
    )
    new = json.dumps(_configmap("new", good))
    for edit in edits:
        said = attempt(guarded, *edit, *who, stdin=new)
        assert "may not" in said, edit
        assert "rolemaps.gatehouse.dev" in said
    assert good == guarded.json("get", "configmap", "there")["data"]
    bind(guarded, f"{RELEASE}-role-map-editor")
    guarded("create", "--filename", "-", stdin=plain)
    for edit in (edits[0], *edits[4:7]):
        assert "" == attempt(guarded, *edit, *who, stdin=new)


def bind(kubectl: Kubectl, role: str) -> None:
    """Give somebody a role."""
    account = f"--serviceaccount={kubectl.namespace}:somebody"
    kubectl("create", "rolebinding", role, f"--role={role}", account)


def test_the_operator_may_make_its_first_map_and_no_other(
    guarded: Kubectl, tmp_path: Any
) -> None:
    """The virtual verb is bound to that name."""
    made = role_map_manifests(guarded.namespace, RELEASE, "none")
    who = f"--kubeconfig={account(guarded, made, tmp_path)}"
    said = {
        name: attempt(
            guarded,
            *("create", "--filename", "-", who),
            stdin=json.dumps(_configmap(name, {"admin": f"ws {ANY}"})),
        )
        for name in (f"{RELEASE}-roles", "other")
    }
    assert "" == said[f"{RELEASE}-roles"]
    assert "may not update rolemaps.gatehouse.dev" in said["other"]


def test_a_namespace_with_role_maps_can_be_deleted(guarded: Kubectl) -> None:
    """Whatever is deleted first in it."""
    guarded.apply(_configmap("there", {"reader": "ws ME"}))
    guarded("delete", "namespace", guarded.namespace, "--timeout=60s")
    guarded("create", "namespace", guarded.namespace)  # for who cleans up
