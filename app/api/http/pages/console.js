// The page: what is asked for and what is shown.

import { Client } from "./client.js";
import {
  closeCodesOf,
  pushesOf,
  requestsOf,
  statusCodesOf,
} from "./messages.js";
import { Refused, Session } from "./session.js";

const AUTHENTICATE = 0;
const PERMISSIONS_CHANGED = 102;
const MOST_SHOWN = 300;
const at = (id) => document.getElementById(id);
const codeNames = new Map();
const closeReasons = new Map();
const kinds = new Map();
const pushes = new Map();
let client = null;
let expiresAt = 0;

const session = new Session((token) => {
  client.renew(token);
  explain();
});

function say(problem) {
  at("notice").textContent = problem ?? "";
  at("notice").hidden = !problem;
}

/** Do what a person has asked for, and say what went wrong. */
function doing(work) {
  return async (event) => {
    event.preventDefault();
    say();
    try {
      await work();
    } catch (error) {
      say(error.message);
    }
  };
}

async function showUser() {
  const me = await session.me();
  at("user").textContent = me.username;
  at("roles").textContent = me.roles.join(", ") || "none";
  at("http-permissions").replaceChildren(
    ...me.permissions.http.map((line) => element("li", {}, line)),
  );
  expiresAt = me.expires_at;
  showExpiry();
  at("signed-out").hidden = true;
  at("signed-in").hidden = false;
  at("connect").disabled = false;
  showKinds(new Set(me.permissions.ws));
}

function showExpiry() {
  const left = Math.round(expiresAt - Date.now() / 1000);
  at("expiry").textContent = left > 0 ? `in ${left} s` : "it has ended";
}

function showNobody() {
  client.forget();
  at("signed-out").hidden = false;
  at("signed-in").hidden = true;
  at("connect").disabled = true;
  showKinds(null);
}

/** List the messages; what is allowed is known of a user only. */
function showKinds(allowed) {
  const chosen = at("kind").value;
  const options = Array.from(kinds.values(), ({ id, name }) => {
    const may = id === AUTHENTICATE || (allowed?.has(`ws ${name}`) ?? true);
    const text = `${String(id).padStart(4)} ${name}${may ? "" : " (denied)"}`;
    return element("option", { value: id, className: may ? "" : "denied" }, text);
  });
  at("kind").replaceChildren(...options);
  at("kind").value = chosen;
}

function choose() {
  const { about, example } = kinds.get(Number(at("kind").value));
  at("about").textContent = about;
  at("data").value = JSON.stringify(example, null, 2);
  check();
}

/** Return the data that is to be sent, undefined where it is no object. */
function check() {
  let data;
  let problem = "";
  try {
    data = JSON.parse(at("data").value);
    if (data === null || typeof data !== "object" || Array.isArray(data)) {
      problem = "Data is a JSON object: { … }";
    }
  } catch (error) {
    problem = `This is no JSON: ${error.message}`;
  }
  at("data-problem").textContent = problem;
  at("data").setAttribute("aria-invalid", String(problem !== ""));
  return problem ? undefined : data;
}

function send() {
  const data = check();
  if (data !== undefined && client.isOpen) {
    client.send(Number(at("kind").value), data);
  }
}

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function show(className, title, detail, ...more) {
  const time = new Date().toLocaleTimeString([], { hour12: false });
  const head = element("header", {});
  head.append(element("time", {}, time), element("strong", {}, title), ...more);
  const entry = element("li", { className }, head);
  if (detail !== undefined) {
    entry.append(element("pre", {}, JSON.stringify(detail, null, 2)));
  }
  at("traffic").prepend(entry);
  while (at("traffic").childElementCount > MOST_SHOWN) {
    at("traffic").lastElementChild.remove();
  }
}

function nameOf(id) {
  return (kinds.get(id) ?? pushes.get(id))?.name ?? `PkgID ${id}`;
}

/** Leave out what is secret: a picture of this page may be passed on. */
function shown(request) {
  return request.pkg_id === AUTHENTICATE
    ? { ...request, data: { token: "(not shown)" } }
    : request;
}

const showing = {
  state(state, text) {
    at("state").dataset.state = state;
    at("state").textContent = text;
    at("send").disabled = state !== "open";
    at("connect").disabled = state !== "closed" || !session.token;
    at("disconnect").disabled = state === "closed";
  },
  sent(request) {
    const { pkg_id: id, req_id: reqId, data } = request;
    const again = element("button", { type: "button" }, "Send again");
    again.title = "With the same req_id: a write is applied once";
    again.onclick = () => client.isOpen && client.send(id, data, reqId);
    show("sent", `\u2192 ${nameOf(id)}`, shown(request), again);
  },
  replied(reply, request, spent) {
    const code = codeNames.get(reply.status_code) ?? reply.status_code;
    const name = request ? nameOf(request.pkg_id) : nameOf(reply.pkg_id);
    const time = spent === null ? "" : `${spent.toFixed(1)} ms`;
    show(
      reply.status_code === 0 ? "ok" : "refused",
      `\u2190 ${name} ${code}`,
      reply,
      element("span", { className: "spent" }, time),
    );
  },
  pushed(push) {
    show("push", `\u2190 ${nameOf(push.pkg_id)} pushed`, push);
    if (push.pkg_id === PERMISSIONS_CHANGED) {
      showUser().catch((error) => say(error.message));
    }
  },
  async closed(code, reason, wasOpen) {
    const meaning = closeReasons.get(code) ?? "";
    const text = [`closed: ${code}.`, meaning, reason].filter(Boolean);
    show("refused", wasOpen ? text.join(" ") : "the socket was not opened");
    if (session.token) {
      await explain();
    }
  },
};

/** A browser does not tell why a handshake is refused; `/me` does. */
async function explain() {
  try {
    await showUser();
  } catch (error) {
    say(error.message);
    if (error instanceof Refused && error.status === 401) {
      showNobody();
    }
  }
}

async function load() {
  const [api, socket] = await Promise.all(
    ["openapi.json", "asyncapi.json"].map(async (path) =>
      (await fetch(path)).json(),
    ),
  );
  at("sign-in").hidden = !("/auth/login" in api.paths);
  for (const { const: code, title } of statusCodesOf(socket)) {
    codeNames.set(code, title);
  }
  for (const { code, description } of closeCodesOf(socket)) {
    closeReasons.set(code, description);
  }
  for (const message of requestsOf(socket)) {
    kinds.set(message.id, message);
  }
  for (const push of pushesOf(socket)) {
    pushes.set(push.id, push);
  }
  showKinds(null);
  at("kind").selectedIndex = Math.min(1, kinds.size - 1);
  choose();
  const url = new URL("web", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  client = new Client(url.href, [...pushes.keys()], showing);
}

at("sign-in").onsubmit = doing(async () => {
  await session.signIn(at("username").value, at("password").value);
  at("password").value = "";
  await showUser();
});
at("bring-token").onsubmit = doing(async () => {
  session.bring(at("token").value.trim());
  await showUser();
  at("token").value = "";
});
at("sign-out").onclick = doing(async () => {
  const ended = session.end();
  showNobody();
  await ended;
});
at("copy-token").onclick = doing(async () => {
  if (!navigator.clipboard) {
    throw new Error("A browser lets only pages of HTTPS or localhost copy");
  }
  await navigator.clipboard.writeText(session.token);
});
at("connect").onclick = doing(() => client.open(session.token));
at("disconnect").onclick = () => client.close();
at("reconnect").onchange = () => {
  client.reopens = at("reconnect").checked;
};
at("kind").onchange = choose;
at("data").oninput = check;
at("data").onkeydown = (event) => {
  if (event.key === "Enter" && event.ctrlKey) {
    send();
  }
};
at("message").onsubmit = doing(send);
at("clear").onclick = () => at("traffic").replaceChildren();
setInterval(showExpiry, 1000);
await load().catch((error) => say(`The page could not be set up: ${error}`));
