"""What the API server itself refuses, also while no operator runs.

Policies (ValidatingAdmissionPolicy), in CEL. One says who may edit a role
map: Kubernetes' own rights cannot, since whoever may create ConfigMaps could
give himself every permission by labelling one. It asks the API server whether
he has the verb `update`, or `delete`, on `rolemaps.gatehouse.dev`, which no
object has: a virtual resource. Another one checks every line, by the
grammar of `app.schemas.permissions` and by the permissions of the version that
is installed, which are part of it. A line is read as Python reads it, so that
both say the same; circles of includes CEL cannot see, the operator rejects
those. The last one is for the operator, which may patch pods where it says
what ending one costs: it may change nothing else of them.

An expression may cost 1,000,000 units, after which an edit is denied for a
reason that nobody understands. So the size of a map is checked first, and
what is cheap is preferred: words are looked up, not searched.
"""

import re
from collections.abc import Iterable, Iterator
from http import HTTPMethod
from typing import Any, Final

from app.schemas.permissions import SIGNED_IN
from app.schemas.permissions.lines import FORBIDDEN, MOST_OF_LINE
from app.schemas.permissions.names import (
    PACKAGE,
    ROLE,
    ROLE_KEY,
    TEMPLATE,
)
from gatehouse_operator.resources.base import GROUP
from gatehouse_operator.settings import catalogue_name

Manifest = dict[str, Any]

LABEL: Final = f"{GROUP}/role-map"
VIRTUAL: Final = "rolemaps"
DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
"""The annotation that says which of many pods may go first."""
MOST_ROLES: Final = 1000
MOST_LINES: Final = 5000
MOST_CHARACTERS: Final = 200 * 1024
_KEPT: Final = (
    ("labels", "{}"),
    ("ownerReferences", "[]"),
    ("finalizers", "[]"),
)
"""Of a pod's metadata, what the operator leaves as it is."""
_RUNS: Final = (8, 8, 5, 3, 2, 2)
"""As many spaces as one, one after the other, make one of any run of a line.
"""
_WORDS: Final = 6
"""A space before, three words, one more, and a space after."""
_API: Final = "admissionregistration.k8s.io/v1"
_IS_MAP: Final = (
    "has({0}.metadata.labels) && '{label}' in {0}.metadata.labels &&"
    " {0}.metadata.labels['{label}'] == 'true'"
)


def admission_manifests(
    namespace: str, release: str, permissions: Iterable[str]
) -> Iterator[Manifest]:
    """Give the policies of one release, and what an editor needs.

    Args:
        namespace: Where role maps are.
        release: Begins all names.
        permissions: Every line that a map may have, but includes.
    """
    known = sorted(permissions)
    maps = {"objectSelector": {"matchLabels": {LABEL: "true"}}}
    operator = f"system:serviceaccount:{namespace}:{release}-operator-rbac"
    for part, spec, selected in (
        ("role-map-editors", _editors(), maps),
        ("role-map-lines", _lines(known), maps),
        ("deletion-cost", _deletion_cost(operator), {}),
    ):
        name = f"{release}-{part}.{namespace}"
        yield {
            "apiVersion": _API,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": spec,
        }
        yield {
            "apiVersion": _API,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": _binding(name, namespace, selected),
        }
    yield {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": catalogue_name(release),
            "namespace": namespace,
        },
        "data": _catalogue(known),
    }
    yield {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {
            "name": f"{release}-role-map-editor",
            "namespace": namespace,
        },
        "rules": [
            {
                "apiGroups": [""],
                "resources": ["configmaps"],
                "verbs": [
                    "get",
                    "list",
                    "create",
                    "update",
                    "patch",
                    "delete",
                ],
            },
            {
                "apiGroups": [GROUP],
                "resources": [VIRTUAL],
                "verbs": ["update", "delete"],
            },
        ],
    }


def _catalogue(permissions: Iterable[str]) -> dict[str, str]:
    """Write all permissions down for whoever edits a map.

    A key has those of one protocol and method: `ws`, `http.GET`, `http.any`.
    """
    parts: dict[str, list[str]] = {}
    for line in permissions:
        protocol, *words = line.split()
        method = words[0].replace("*", "any")
        key = f"{protocol}.{method}" if words[1:] else protocol
        parts.setdefault(key, []).append(line)
    return {key: "\n".join((*lines, "")) for key, lines in parts.items()}


def _binding(name: str, namespace: str, selected: Manifest) -> Manifest:
    return {
        "policyName": name,
        "validationActions": ["Deny"],
        "matchResources": {
            "namespaceSelector": {
                "matchLabels": {"kubernetes.io/metadata.name": namespace}
            },
            **selected,
        },
    }


def _policy(
    operations: list[str], resource: str = "configmaps", **spec: Any
) -> Manifest:
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": operations,
        "resources": [resource],
    }
    return {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rule]},
        **spec,
    }


def _editors() -> Manifest:
    """Say who may edit a map; that it is deleted with all else is no edit."""
    is_map = _IS_MAP.format("object", label=LABEL)
    check = (
        f"authorizer.group('{GROUP}').resource('{VIRTUAL}')"
        ".namespace(request.namespace)"
        # A whole collection that is deleted has no name.
        ".name(has(request.name) ? request.name : '')"
        ".check(variables.verb).allowed()"
    )
    return _policy(
        ["CREATE", "UPDATE", "DELETE"],
        variables=[
            {
                "name": "verb",
                "expression": (
                    "request.operation != 'DELETE' &&"
                    f" {is_map} ? 'update' : 'delete'"
                ),
            }
        ],
        validations=[
            {
                "expression": check,
                "messageExpression": (
                    "request.userInfo.username + ' may not '"
                    f" + variables.verb + ' {VIRTUAL}.{GROUP} in '"
                    " + request.namespace + ', which a role map needs'"
                ),
                "reason": "Forbidden",
            }
        ],
    )


def _deletion_cost(operator: str) -> Manifest:
    """Say that the operator changes nothing of a pod but what it costs."""
    kept = " && ".join(
        " == ".join(_given(of, part, empty) for of in ("object", "oldObject"))
        for part, empty in _KEPT
    )
    return _policy(
        ["UPDATE"],
        "pods",
        matchConditions=[
            {
                "name": "operator",
                "expression": f"request.userInfo.username == '{operator}'",
            }
        ],
        variables=[
            {"name": name, "expression": _given(of, "annotations", "{}")}
            for name, of in (("now", "object"), ("before", "oldObject"))
        ],
        validations=[
            {
                "expression": (
                    f"object.spec == oldObject.spec && {kept}"
                    f" && variables.now.all(k, k == '{DELETION_COST}'"
                    " || k in variables.before"
                    " && variables.before[k] == variables.now[k])"
                    f" && variables.before.all(k, k == '{DELETION_COST}'"
                    " || k in variables.now)"
                ),
                "message": f"may change {DELETION_COST} and nothing else",
                "reason": "Forbidden",
            }
        ],
    )


def _given(of: str, part: str, empty: str) -> str:
    """Name a part of an object's metadata, which need not be there."""
    field = f"{of}.metadata.{part}"
    return f"(has({field}) ? {field} : {empty})"


def _lines(permissions: Iterable[str]) -> Manifest:
    """Say what a map may hold.

    The permissions are no parameter, though there are such: the API server
    never reads one again that is a ConfigMap once no binding has named it
    for a second (kubernetes/kubernetes#130887).
    """
    entries = ", ".join(f"'{line}': true" for line in sorted(permissions))
    variables = {
        "data": "has(object.data) ? object.data : {}",
        "known": f"{{{entries}}}",
        "tooBig": (
            f"variables.data.size() > {MOST_ROLES} ||"
            " variables.data.map(k, variables.data[k].size()).sum()"
            f" > {MOST_CHARACTERS} ||"
            " variables.data.map(k,"
            r" variables.data[k].split('\n').size()).sum()"
            f" > {MOST_LINES}"
        ),
        "badRoles": _unless_too_big(
            f"variables.data.filter(k, k != '{SIGNED_IN}'"
            f' && !k.matches(r"{ROLE_KEY}"))'
        ),
        "badCharacters": _roles_with(_has_forbidden("{0}", whole=True)),
        "badForm": _roles_with_line(_FAULTS["badForm"]),
        "unknown": _roles_with_line(_FAULTS["unknown"], "badForm"),
        **{f"{name}Line": _line(name) for name in _FAULTS},
    }
    return _policy(
        ["CREATE", "UPDATE"],
        matchConditions=[
            {
                "name": "is-role-map",
                "expression": _IS_MAP.format("object", label=LABEL),
            }
        ],
        variables=[
            {"name": name, "expression": expression}
            for name, expression in variables.items()
        ],
        validations=list(_validations()),
    )


def _validations() -> Iterator[Manifest]:
    yield {
        "expression": "!variables.tooBig",
        "message": (
            f"a role map has at most {MOST_ROLES} roles, {MOST_LINES} lines"
            f" and {MOST_CHARACTERS} characters; make several of it"
        ),
    }
    yield {
        "expression": "variables.badRoles.size() == 0",
        "messageExpression": (
            "variables.badRoles[0] +"
            " ': is no role name for a key (ASCII letters, digits and _.-)'"
        ),
    }
    for name, says in _SAYS.items():
        yield {
            "expression": f"variables.{name}.size() == 0",
            "messageExpression": _message(name, says),
        }


def _line(name: str) -> str:
    """Give the first line that has a fault."""
    found = f"variables.{name}"
    return (
        rf"{found}.size() == 0 ? '' : variables.data[{found}[0]].split('\n')"
        f".filter(l, {_FAULTS[name]})[0]"
    )


def _message(name: str, says: str) -> str:
    """Say `role:line: what: why` of the first line that has a fault."""
    key, line = f"variables.{name}[0]", f"variables.{name}Line"
    lines = rf"variables.data[{key}].split('\n')"
    return (
        f"{key} + ':' + string({lines}.indexOf({line}) + 1) + ': '"
        f" + {line}.substring(0, {line}.size() < 60 ? {line}.size() : 60)"
        f" + ': {says}'"
    )


def _unless_too_big(expression: str) -> str:
    return f"variables.tooBig ? [] : {expression}"


def _roles_with(condition: str) -> str:
    """Give the roles of whose text this is so."""
    text = "variables.data[k]"
    return _unless_too_big(
        f"variables.data.filter(k, {condition.replace('{0}', text)})"
    )


def _roles_with_line(condition: str, unless: str = "") -> str:
    """Give the roles with a line of which this is so.

    Args:
        condition: Of the line `l`.
        unless: Another variable, which is to be empty first.
    """
    found = (
        "variables.data.filter(k,"
        rf" variables.data[k].split('\n').exists(l, {condition}))"
    )
    if unless:
        found = f"variables.{unless}.size() > 0 ? [] : {found}"
    return _unless_too_big(f"({found})")


def _not(condition: str) -> str:
    return f"!({condition})"


def _has_forbidden(text: str, *, whole: bool = False) -> str:
    """Say that a text has a character that no line may hold.

    Args:
        text: The expression of the text.
        whole: Whether it is of several lines.
    """
    pattern = FORBIDDEN.pattern.replace(r"\ud800-\udfff", "")
    pattern = re.sub(r"\\u([0-9a-f]{4})", r"\\x{\1}", pattern)
    if whole:
        pattern = pattern.replace(r"\x00-\x1f", r"\x00-\x09\x0b-\x1f")
    return f'{text}.matches(r"{pattern}")'


def _with_words(line: str, condition: str) -> str:
    """Say something of the words `w` of a line, before its comment.

    No line has more than three. Many are not counted, and spaces are made
    one before, since what a list costs grows with the square of its length.
    """
    said = f"(' ' + {line}).split(' #', 2)[0]"
    single = said
    for spaces in _RUNS:
        single += f".replace('{' ' * spaces}', ' ')"
    has_runs = f"({line}.contains('  ') || {line}.startsWith(' '))"
    said = f"({has_runs} ? {single} : {said})"
    words = f"{said}.split(' ', {_WORDS}).filter(x, x != '')"
    return f"[{words}].all(w, {condition})"


def _is_formed(line: str) -> str:
    methods = ", ".join(f"'{one}'" for one in (*HTTPMethod, "*"))
    forms = (
        "w.size() == 0",
        f"w.size() == 2 && w[0] == 'ws' && w[1].matches(r\"{PACKAGE}\")",
        (
            f"w.size() == 3 && w[0] == 'http' && w[1] in [{methods}]"
            f' && w[2].matches(r"{TEMPLATE}")'
        ),
        (
            "w.size() == 2 && w[0] == 'include'"
            f" && w[1] != '{SIGNED_IN}' && w[1].matches(r\"{ROLE}\")"
        ),
    )
    return _with_words(line, " || ".join(f"({form})" for form in forms))


def _is_known(line: str) -> str:
    """Say that a line which is well formed names what there is."""
    return _with_words(
        line,
        "w.size() == 0 || w[0] == 'include' || w.join(' ') in variables.known",
    )


_FAULTS: Final = {
    "badCharacters": _has_forbidden("l"),
    "badForm": f"l.size() > {MOST_OF_LINE} || {_not(_is_formed('l'))}",
    "unknown": _not(_is_known("l")),
}
"""What a line `l` can have against it."""
_SAYS: Final = {
    "badCharacters": "use plain spaces and line feeds, and visible characters",
    "badForm": "is none of: ws PKG_ID, http METHOD /template, include ROLE;"
    f" and no more than {MOST_OF_LINE} characters",
    "unknown": "is no permission of this version",
}
