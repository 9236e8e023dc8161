"""What is to be done in Keycloak, decided without it."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse_operator.reconcile.actions import Action, Do, What, named
from gatehouse_operator.reconcile.clients import (
    ClientState,
    Mapper,
    plan_client,
    wanted_client,
)
from gatehouse_operator.reconcile.ownership import (
    OWNER,
    POLICY,
    UID,
    Claim,
    Owner,
    claim,
    is_deleted_with,
)
from gatehouse_operator.reconcile.realms import (
    RealmState,
    Role,
    plan_realm,
    wanted_realm,
)
from gatehouse_operator.resources.base import Adopt, DeletionPolicy
from gatehouse_operator.resources.client import (
    AUDIENCE_MAPPER,
    KeycloakClientSpec,
)
from gatehouse_operator.resources.realm import KeycloakRealmSpec

OURS = Owner("cluster", "space", "web", "uid-1")

NAMES = st.sampled_from(["a", "b", "c", "d"])
SETS = st.frozensets(NAMES)
CONFIGS = st.dictionaries(NAMES, NAMES, max_size=3)
MAPPERS = st.dictionaries(
    NAMES, st.builds(Mapper, st.sampled_from(["one", "two"]), CONFIGS)
)
AUDIENCES = st.dictionaries(
    NAMES, st.builds(Mapper, st.just(AUDIENCE_MAPPER), CONFIGS)
)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "publicClient": st.booleans(),
        "redirectUris": SETS.map(sorted),
        "webOrigins": SETS.map(sorted),
        "standardFlowEnabled": st.booleans(),
    },
)
ACTUAL = st.builds(
    ClientState,
    settings=SETTINGS,
    attributes=CONFIGS,
    roles=SETS,
    default_scopes=SETS,
    optional_scopes=SETS,
    audiences=AUDIENCES,
    mappers=MAPPERS,
    account_realm=SETS,
    account_clients=st.dictionaries(NAMES, SETS),
)
WANTED = st.builds(
    ClientState,
    settings=SETTINGS,
    attributes=CONFIGS,
    roles=st.none() | SETS,
    default_scopes=st.none() | SETS,
    optional_scopes=st.none() | SETS,
    audiences=st.none() | AUDIENCES,
    mappers=st.none() | MAPPERS,
    account_realm=st.none() | SETS,
    account_clients=st.none() | st.dictionaries(NAMES, SETS),
)


def changed(names: Iterable[str] | None, action: Action) -> frozenset[str]:
    """A set after an action."""
    there = frozenset(names or ())
    if action.do is Do.ADD:
        assert action.name not in there
        return there | {action.name}
    assert action.name in there
    return there - {action.name}


def after_mapper(state: ClientState, action: Action) -> ClientState:
    """A client after one of its mappers has changed."""
    mappers = {**(state.audiences or {}), **(state.mappers or {})}
    if action.do is Do.REMOVE:
        del mappers[action.name]
    else:
        assert (action.name in mappers) is (action.do is Do.CHANGE)
        body = action.body
        mappers[action.name] = Mapper(body["protocolMapper"], body["config"])
    is_audience = {
        name: mapper.kind == AUDIENCE_MAPPER
        for name, mapper in mappers.items()
    }
    return replace(
        state,
        audiences={n: m for n, m in mappers.items() if is_audience[n]},
        mappers={n: m for n, m in mappers.items() if not is_audience[n]},
    )


SET_OF = {
    What.CLIENT_ROLE: "roles",
    What.DEFAULT_SCOPE: "default_scopes",
    What.OPTIONAL_SCOPE: "optional_scopes",
    What.ACCOUNT_ROLE: "account_realm",
}


def after(state: ClientState, action: Action) -> ClientState:
    """A client after an action, as Keycloak would have it."""
    if action.what is What.CLIENT:
        body = dict(action.body)
        attributes = {**state.attributes, **body.pop("attributes")}
        return replace(
            state,
            settings={**state.settings, **body},
            attributes={k: v for k, v in attributes.items() if v},
        )
    if action.what is What.MAPPER:
        return after_mapper(state, action)
    if action.within:
        clients = dict(state.account_clients or {})
        roles = changed(clients.get(action.within), action)
        return replace(
            state, account_clients={**clients, action.within: roles}
        )
    name = SET_OF[action.what]
    names: Any = changed(getattr(state, name), action)
    return replace(state, **{name: names})


def has_apart(state: ClientState) -> bool:
    """Say whether no name is that of two mappers."""
    return not (state.audiences or {}).keys() & (state.mappers or {}).keys()


@given(
    WANTED.filter(has_apart),
    ACTUAL.filter(has_apart),
)
def test_what_is_planned_reaches_what_is_wanted(
    wanted: ClientState, actual: ClientState
) -> None:
    """A second look finds nothing; what nobody wants stays as it was."""
    state = actual
    for action in plan_client(wanted, actual):
        state = after(state, action)
    assert [] == plan_client(wanted, state)
    for name in ("roles", "default_scopes", "optional_scopes"):
        if getattr(wanted, name) is None:
            assert getattr(actual, name) == getattr(state, name)
    if wanted.mappers is None:  # but one whose name an audience needs
        assert state.mappers == {
            name: mapper
            for name, mapper in (actual.mappers or {}).items()
            if name not in (wanted.audiences or {})
        }
    for key in actual.settings.keys() - wanted.settings.keys():
        assert actual.settings[key] == state.settings[key]


def spec(**fields: Any) -> KeycloakClientSpec:
    """The spec of a client."""
    given = {"realmRef": "shop", "clientId": "web", "type": "public", **fields}
    return KeycloakClientSpec.model_validate(given)


def client_after(**fields: Any) -> ClientState:
    """A client that is as a spec says."""
    wanted = wanted_client(spec(**fields), OURS)
    return replace(wanted, attributes={**wanted.attributes, "own": "kept"})


def test_a_client_as_its_spec_says_is_left_alone() -> None:
    """Whatever order Keycloak answers in."""
    there = client_after(redirectUris=["b", "a"], roles=["x"])
    there = replace(
        there, settings={**there.settings, "redirectUris": ["b", "a"]}
    )
    wanted = wanted_client(spec(redirectUris=["a", "b"], roles=["x"]), OURS)
    assert [] == plan_client(wanted, there)


def test_an_empty_list_removes_and_no_list_does_not() -> None:
    """The last role goes when the list is empty, and stays without one."""
    there = client_after(roles=["x"])
    none = plan_client(wanted_client(spec(), OURS), there)
    empty = plan_client(wanted_client(spec(roles=[]), OURS), there)
    assert ([], [Do.REMOVE]) == (none, [action.do for action in empty])
    assert ("roles",) == named(empty)


def test_rights_of_a_client_that_is_no_longer_listed_are_taken() -> None:
    """A map of lists is owned as a whole."""
    roles = {"clients": {"realm-management": ["view-users"]}}
    flows = {"serviceAccount": True}
    there = client_after(flows=flows, serviceAccountRoles=roles)
    wanted = spec(flows=flows, serviceAccountRoles={"clients": {}})
    (action,) = plan_client(wanted_client(wanted, OURS), there)
    assert (Do.REMOVE, What.ACCOUNT_ROLE) == (action.do, action.what)
    assert ("view-users", "realm-management") == (action.name, action.within)


def test_no_secret_is_in_what_is_told() -> None:
    """An action says what it does without a value."""
    wanted = wanted_client(spec(type="confidential"), OURS, "hush")
    actions = plan_client(wanted, ClientState())
    assert "secret.existing" in named(actions)
    assert "hush" not in " ".join(map(str, actions))


@pytest.mark.parametrize(
    ("attributes", "adopt", "expected"),
    [
        ({}, Adopt.IF_UNOWNED, Claim.TAKEN_OVER),
        ({}, Adopt.NEVER, Claim.REFUSED),
        ({}, Adopt.FORCE, Claim.TAKEN_OVER),
        ({UID: "uid-1"}, Adopt.NEVER, Claim.OURS),
        ({UID: "uid-2"}, Adopt.IF_UNOWNED, Claim.REFUSED),
        ({UID: "uid-2"}, Adopt.FORCE, Claim.TAKEN_OVER),
        (
            {UID: "uid-0", OWNER: "cluster/space/web"},
            Adopt.IF_UNOWNED,
            Claim.OURS,
        ),
        (
            {UID: "uid-0", OWNER: "elsewhere/space/web"},
            Adopt.IF_UNOWNED,
            Claim.REFUSED,
        ),
    ],
)
def test_an_object_is_taken_as_the_spec_says(
    attributes: dict[str, str], adopt: Adopt, expected: Claim
) -> None:
    """An earlier resource of this name has gone, so what it made is ours."""
    assert expected is claim(attributes, OURS, adopt)


def test_what_has_no_policy_to_be_read_stays() -> None:
    """Only an object that says so goes with its resource."""
    said = [
        is_deleted_with(attributes)
        for attributes in (
            {},
            {POLICY: "delete"},
            OURS.marks(DeletionPolicy.ORPHAN),
            OURS.marks(DeletionPolicy.DELETE),
        )
    ]
    assert [False, False, False, True] == said


def realm_spec(**fields: Any) -> KeycloakRealmSpec:
    """The spec of a realm."""
    return KeycloakRealmSpec.model_validate({"realm": "shop", **fields})


def test_a_role_that_a_map_names_is_made_and_never_removed() -> None:
    """Nor is one that a map has named, or one of Keycloak's own."""
    wanted = wanted_realm(realm_spec(roles=[]), OURS, {"reader"})
    there = RealmState(
        attributes=wanted.attributes,
        roles={
            "was-in-map": Role(is_from_map=True),
            "offline_access": Role(),
            "default-roles-shop": Role(),
            "stray": Role(),
        },
    )
    actions = plan_realm(wanted, there, "shop")
    assert [(Do.REMOVE, "stray"), (Do.ADD, "reader")] == [
        (action.do, action.name) for action in actions
    ]


def test_roles_are_made_before_they_are_parts_of_others() -> None:
    """In whatever order the spec has them."""
    roles = [{"name": "a", "composites": ["b"]}, {"name": "b"}]
    wanted = wanted_realm(realm_spec(roles=roles), OURS, ())
    actions = plan_realm(wanted, RealmState(), "shop")
    assert [What.REALM, What.REALM_ROLE, What.REALM_ROLE, What.COMPOSITE] == [
        action.what for action in actions
    ]


def test_a_realms_other_attributes_are_sent_along() -> None:
    """Keycloak removes every attribute of a realm that is not sent."""
    wanted = wanted_realm(realm_spec(), OURS, ())
    (action,) = plan_realm(wanted, RealmState(attributes={"own": "1"}), "shop")
    assert "1" == action.body["attributes"]["own"]


def test_what_is_emptied_is_not_there_in_keycloak() -> None:
    """So no policy for passwords is none, and not one that is not kept."""
    wanted = RealmState(
        settings={"passwordPolicy": "", "eventsEnabled": False}
    )
    none = RealmState(settings={"passwordPolicy": None, "eventsEnabled": True})
    some = RealmState(settings={"passwordPolicy": "x", "eventsEnabled": False})
    fields = [
        named(plan_realm(wanted, actual, "r")) for actual in (none, some)
    ]
    assert [("events.enabled",), ("passwordPolicy",)] == fields


def test_a_user_is_made_and_then_left_alone() -> None:
    """Demo users own what they change."""
    user = {"username": "ada", "passwordFrom": {"name": "s", "key": "k"}}
    given = realm_spec(demo={"users": [{**user, "realmRoles": ["a"]}]})
    wanted = wanted_realm(given, OURS, ())
    marked = RealmState(attributes=wanted.attributes)
    with_ada = replace(marked, users={"ada": frozenset()})
    made = plan_realm(wanted, marked, "shop")
    then = plan_realm(wanted, with_ada, "shop")
    assert ([What.USER], []) == ([action.what for action in made], then)
