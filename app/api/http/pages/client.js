// The socket as a client program should keep it: it is opened again when it
// is lost, asks for the pushes that it has missed, and renews its token.

import { newUuid } from "./messages.js";

const AUTHENTICATE = 0;
const SUBSCRIBE = 10;
const UNSUBSCRIBE = 11;
const OK = 0;
const UNASKED = "00000000-0000-0000-0000-000000000000";
const FINAL = new Set([1000, 1002, 1007, 1008, 1009, 4401, 4408]);
const LEAST_WAIT_MS = 500;
const MOST_WAIT_MS = 30_000;

export class Client {
  #socket = null;
  #token = "";
  #wanted = false;
  #failures = 0;
  #timer = 0;
  #asked = new Map();
  #position = null;
  #pushes;
  #unwanted = new Set();
  #on;
  #url;

  /**
   * @param url Where the socket is.
   * @param pushes The numbers of all pushes.
   * @param on Functions: `state(state, text)` with `closed`, `waiting` or
   *   `open`; `sent(request)`, `replied(reply, request, milliseconds)`,
   *   `pushed(push)`, `closed(code, reason, wasOpen)`.
   */
  constructor(url, pushes, on) {
    this.#url = url;
    this.#pushes = pushes;
    this.#on = on;
    this.reopens = true;
  }

  /** Open it, and keep it open until `close`. */
  open(token) {
    this.close();
    this.#token = token;
    this.#wanted = true;
    this.#failures = 0;
    this.#connect();
  }

  /** Close it, for good. */
  close() {
    this.#wanted = false;
    clearTimeout(this.#timer);
    this.#socket?.close(1000);
    this.#state("closed", "no socket");
  }

  /** Forget who it was for, and what he has seen. */
  forget() {
    this.close();
    this.#token = "";
    this.#position = null;
    this.#unwanted.clear();
  }

  /** Go on with a newer token of the same user. */
  renew(token) {
    this.#token = token;
    if (this.isOpen) {
      this.send(AUTHENTICATE, { token });
    }
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Send a message; one that has been sent before keeps its `req_id`. */
  send(kind, data, reqId = newUuid()) {
    const request = { pkg_id: kind, req_id: reqId, data };
    this.#asked.set(reqId, { request, at: performance.now() });
    this.#socket.send(JSON.stringify(request));
    this.#on.sent(request);
  }

  #connect() {
    this.#state("waiting", "opening …");
    const socket = new WebSocket(this.#url, [
      "gatehouse.v1",
      `bearer.${this.#token}`,
    ]);
    this.#socket = socket;
    let wasOpen = false;
    socket.onopen = () => {
      wasOpen = true;
      this.#failures = 0;
      this.#state("open", "open");
      this.#takeUp();
    };
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    socket.onclose = ({ code, reason }) => {
      if (socket === this.#socket) {
        this.#lost(code, reason, wasOpen);
      }
    };
  }

  // What is new is pushed unasked; what came while it was away is not.
  #takeUp() {
    if (this.#position === null) {
      return;
    }
    const wanted = this.#pushes.filter((kind) => !this.#unwanted.has(kind));
    if (this.#unwanted.size > 0) {
      this.send(UNSUBSCRIBE, { pkg_ids: [...this.#unwanted] });
    }
    if (wanted.length > 0) {
      this.send(SUBSCRIBE, { pkg_ids: wanted, after: this.#position });
    }
  }

  #receive(message) {
    if (message.req_id === UNASKED) {
      this.#move(message.meta);
      this.#on.pushed(message);
      return;
    }
    const { request, at } = this.#asked.get(message.req_id) ?? {};
    this.#asked.delete(message.req_id);
    if (request && message.status_code === OK) {
      this.#follow(request, message);
    }
    const spent = at === undefined ? null : performance.now() - at;
    this.#on.replied(message, request, spent);
  }

  #follow({ pkg_id: kind, data }, reply) {
    if (kind === SUBSCRIBE) {
      data.pkg_ids.forEach((one) => this.#unwanted.delete(one));
      if (!reply.data.recovered) {
        this.#position = reply.meta;
      }
    } else if (kind === UNSUBSCRIBE) {
      data.pkg_ids.forEach((one) => this.#unwanted.add(one));
    }
  }

  #move(meta) {
    const old = this.#position;
    if (meta && (old?.epoch !== meta.epoch || old.seq < meta.seq)) {
      this.#position = { epoch: meta.epoch, seq: meta.seq };
    }
  }

  #lost(code, reason, wasOpen) {
    this.#socket = null;
    this.#asked.clear();
    this.#on.closed(code, reason, wasOpen);
    if (!this.#wanted || !this.reopens || FINAL.has(code)) {
      this.#wanted = false;
      this.#state("closed", "no socket");
      return;
    }
    const wait = this.#waitFor(reason);
    this.#state("waiting", `lost; again in ${(wait / 1000).toFixed(1)} s`);
    this.#timer = setTimeout(() => this.#connect(), wait);
  }

  // The service says when, if it goes away itself; everybody else spreads.
  #waitFor(reason) {
    const told = /^retry_after_ms=(\d+)$/.exec(reason);
    if (told) {
      return Number(told[1]);
    }
    const most = Math.min(MOST_WAIT_MS, LEAST_WAIT_MS * 2 ** this.#failures);
    this.#failures += 1;
    return most * (0.5 + Math.random() / 2);
  }

  #state(state, text) {
    this.#on.state(state, text);
  }
}
