"""Parts of the operator of Keycloak, each for itself."""

import asyncio
from typing import Any, cast

import httpx2
import pytest
from lightkube.core.exceptions import ApiError

from gatehouse_operator.errors import (
    ClientSecretMissing,
    KeycloakAway,
    NotKept,
    NotOwned,
    RealmNotReady,
    Refused,
    SecretMissing,
)
from gatehouse_operator.keycloak.breaker import Breaker
from gatehouse_operator.reconcile.actions import Action, Do, What
from gatehouse_operator.reconcile.orphans import Orphans
from gatehouse_operator.reconcile.status import (
    Fact,
    Report,
    facts_of,
    facts_of_trouble,
    with_facts,
)
from gatehouse_operator.resources.client import KeycloakClientSpec
from gatehouse_operator.resources.resource import Key, Resource
from gatehouse_operator.sync.carry import Carried
from gatehouse_operator.sync.client import ClientSync
from gatehouse_operator.sync.controller import trouble_of
from gatehouse_operator.sync.view import View
from gatehouse_operator.workqueue import WorkQueue


async def test_a_thing_is_in_the_queue_once_and_with_one_worker() -> None:
    """What is added while it is looked at comes again afterwards."""
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    queue.add("a")
    queue.add("b")
    first = await queue.get()
    queue.add("a")
    assert ("a", "b", 0) == (first, await queue.get(), len(queue))
    queue.done("a")
    assert "a" == await queue.get()
    queue.done("b")
    assert 0 == len(queue)


async def test_a_thing_that_fails_comes_back_later_each_time() -> None:
    """And at once if something has changed."""
    queue: WorkQueue[str] = WorkQueue()
    assert [1, 2, 3] == [queue.failed("a") for _ in range(3)]
    assert 0 == len(queue)
    queue.add("a")
    assert "a" == await queue.get()
    queue.done("a")
    queue.succeeded("a")
    assert 1 == queue.failed("a", at_least=0.01)
    async with asyncio.timeout(2):
        assert "a" == await queue.get()


def test_an_orphan_stays_for_its_grace_and_is_then_let_go() -> None:
    """Never at the first look, and not after one that has failed."""
    orphans: Orphans[str] = Orphans(300)
    owned = {"left": "uid-1", "kept": "uid-2"}
    looks = [orphans.look(owned, {"uid-2"}, now) for now in (0.0, 299.0)]
    assert [[], []] == looks
    orphans.lost_sight()
    assert [] == orphans.look(owned, {"uid-2"}, 301.0)
    assert ["left"] == orphans.look(owned, {"uid-2"}, 601.0)


def test_an_object_whose_resource_is_back_is_no_orphan() -> None:
    """Its time begins anew if the resource goes again."""
    orphans: Orphans[str] = Orphans(300)
    orphans.look({"it": "uid"}, (), 0)
    orphans.look({"it": "uid"}, {"uid"}, 200)
    assert [] == orphans.look({"it": "uid"}, (), 400)


def test_nobody_asks_a_keycloak_that_is_away() -> None:
    """After a while one does, and its answer counts for all."""
    now = [0.0]
    breaker = Breaker(failures=2, seconds=1, clock=lambda: now[0])
    for _ in range(2):
        breaker.check()
        breaker.failed("Keycloak answers 503")
    with pytest.raises(KeycloakAway, match="answers 503"):
        breaker.check()
    now[0] = 2.0
    breaker.check()
    with pytest.raises(KeycloakAway):
        breaker.check()
    breaker.succeeded()
    breaker.check()


async def test_one_thing_that_is_refused_holds_no_other_up() -> None:
    """What was done is told of, and what was not is the trouble."""

    async def do(action: Action) -> None:
        if action.name == "bad":
            raise Refused("no such scope")

    carried = Carried()
    actions = [
        Action(Do.ADD, What.CLIENT_ROLE, name, fields=(name,))
        for name in ("bad", "good", "lost")
    ]
    await carried.out(actions, do)
    assert [] == carried.left([actions[0], actions[2]])
    assert ("good",) == carried.changed
    assert "no such scope" == str(carried.trouble)


async def test_what_is_changed_meanwhile_is_put_right_as_well() -> None:
    """It is no change that Keycloak does not keep, and is told of."""

    async def do(_action: Action) -> None:
        pass

    def setting(name: str) -> Action:
        return Action(Do.CHANGE, What.CLIENT, fields=(name,))

    carried = Carried()
    await carried.out([setting("type")], do)
    fresh = carried.left([setting("roles")])
    assert [setting("roles")] == fresh
    await carried.out(fresh, do)
    assert [] == carried.left([])
    assert (("roles", "type"), None) == (carried.changed, carried.trouble)


async def test_what_is_set_and_differs_still_is_not_kept() -> None:
    """It is not tried again and again, but told of."""

    async def do(_action: Action) -> None:
        pass

    carried = Carried()
    action = Action(Do.CHANGE, What.CLIENT, fields=("type",))
    await carried.out([action], do)
    assert [] == carried.left([action])
    assert isinstance(carried.trouble, NotKept)
    assert () == carried.changed


async def test_nothing_more_is_tried_when_keycloak_is_away() -> None:
    """The rest is for another time."""
    tried = []

    async def do(action: Action) -> None:
        tried.append(action.name)
        raise KeycloakAway("gone")

    carried = Carried()
    await carried.out(
        [Action(Do.ADD, What.CLIENT_ROLE, name) for name in "ab"], do
    )
    assert (["a"], ()) == (tried, carried.changed)


def test_conditions_have_one_order_and_keep_their_time() -> None:
    """What says the same is the same, so nothing is written."""
    facts = facts_of(Report(secret=Fact("True", "Written")))
    first = with_facts([], facts, 1, "2026-01-01T00:00:00Z")
    again = with_facts(first, facts, 1, "2026-01-02T00:00:00Z")
    names = ["Ready", "Synced", "SecretReady", "Drifted", "Degraded"]
    assert names == [condition["type"] for condition in first]
    assert first == again


def test_a_secret_that_is_not_ready_makes_the_resource_not_ready() -> None:
    """Though Keycloak is as it should be."""
    facts = facts_of(Report(secret=Fact("False", "NotOwned", "Secret x")))
    assert ("False", "True") == (
        facts["Ready"].status,
        facts["Synced"].status,
    )


def test_a_short_absence_is_not_told_of_and_a_long_one_is_unknown() -> None:
    """Nobody knows how it is with what cannot be asked."""
    away = KeycloakAway("Keycloak does not answer")
    assert {} == facts_of_trouble(away, 1)
    assert "Unknown" == facts_of_trouble(away, 3)["Ready"].status
    assert "True" == facts_of_trouble(away, 3)["Degraded"].status
    assert {} == facts_of_trouble(NotKept("roles"), 1)
    assert "False" == facts_of_trouble(NotOwned("foreign"), 1)["Ready"].status


def test_a_client_that_is_refused_may_have_its_secret_all_the_same() -> None:
    """What is known of the Secret is said; a missing one is not ready."""
    written = Fact("True", "Written")
    refused = facts_of_trouble(Refused("no such scope"), 1, written)
    missing = facts_of_trouble(ClientSecretMissing("Secret x"), 1)
    absent = facts_of_trouble(SecretMissing("Secret of a user"), 1)
    assert written == refused["SecretReady"]
    assert Fact("False", "SecretMissing", "Secret x") == missing["SecretReady"]
    assert {"Ready", "Synced"} == absent.keys()


def test_what_the_api_server_refuses_is_not_its_absence() -> None:
    """A name that it takes not, or a right that is missing: it is known."""

    def answer(code: int) -> ApiError:
        status = {"code": code, "message": "no", "reason": "Why"}
        return ApiError(response=httpx2.Response(code, json=status))

    said = [
        (fact.status, fact.reason)
        for error in (answer(403), answer(422), answer(500), OSError())
        for fact in (facts_of_trouble(trouble_of(error), 3)["Synced"],)
    ]
    assert [
        ("False", "ClusterRefused"),
        ("False", "ClusterRefused"),
        ("Unknown", "ClusterAway"),
        ("Unknown", "ClusterAway"),
    ] == said


def resource(name: str, uid: str, version: int) -> Resource:
    """A resource of this version."""
    return Resource("KeycloakClient", name, "space", uid, 1, version, {}, {})


@pytest.mark.parametrize("reason", ["NotKept", "Refused", "SecretMissing"])
def test_a_realm_that_is_ours_holds_no_client_up(reason: str) -> None:
    """Though something of it is not as it should be; else nobody knows."""
    spec = KeycloakClientSpec.model_validate(
        {"realmRef": "shop", "clientId": "web", "type": "public"}
    )

    def realm_of(why: str) -> str:
        said = {"type": "Synced", "status": "False", "reason": why}
        status = {"conditions": [{**said, "message": "no"}]}
        realm = {"realm": "bookshop"}
        view = View()
        view.put(
            Resource(
                "KeycloakRealm", "shop", "space", "u", 1, 1, realm, status
            )
        )
        nothing = cast("Any", None)
        sync = ClientSync(nothing, nothing, nothing, view, "cluster")
        return sync._realm_of(spec)

    assert "bookshop" == realm_of(reason)
    with pytest.raises(RealmNotReady, match="shop: no"):
        realm_of("NotOwned")


def test_what_was_heard_during_a_look_is_newer_than_the_look() -> None:
    """Only what was there before it, and is not in it, has gone."""
    view = View()
    view.put(resource("gone", "uid-1", 1))
    view.put(resource("anew", "uid-2", 1))
    known = view.snapshot()
    view.remove(resource("anew", "uid-2", 1))
    view.put(resource("anew", "uid-3", 5))
    view.put(resource("new", "uid-4", 6))
    stale = resource("anew", "uid-2", 1)
    gone = view.replace(known, [stale])
    assert ["gone"] == [one.name for one in gone]
    anew = view.get(Key("KeycloakClient", "anew"))
    assert anew is not None
    assert "uid-3" == anew.uid


def test_the_end_of_a_resource_is_not_that_of_its_successor() -> None:
    """A deletion that is heard of late is told of the one that it was."""
    view = View()
    view.put(resource("web", "uid-2", 7))
    view.remove(resource("web", "uid-1", 3))
    successor = view.get(Key("KeycloakClient", "web"))
    assert successor is not None
    assert "uid-2" == successor.uid
