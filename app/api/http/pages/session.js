// Who is signed in, and the token that says so. It is kept in memory only.

const RENEW_BEFORE_SECONDS = 30;

export class Session {
  #tokens = null;
  #timer = 0;
  #renewed;

  /** @param renewed Is called with each newer token. */
  constructor(renewed) {
    this.#renewed = renewed;
  }

  get token() {
    return this.#tokens?.access_token ?? "";
  }

  /** Sign in by password; the token is renewed until `end`. */
  async signIn(username, password) {
    this.#keep(await ask("auth/login", { username, password }));
  }

  /** Use a token from elsewhere, until it ends. */
  bring(token) {
    clearTimeout(this.#timer);
    this.#tokens = { access_token: token };
  }

  /** Tell who this is and what he may do. */
  async me() {
    const headers = { Authorization: `Bearer ${this.token}` };
    return await answerOf(await fetch("me", { headers }));
  }

  /** Forget the token, and end the session if it began here. */
  async end() {
    const refresh = this.#tokens?.refresh_token;
    clearTimeout(this.#timer);
    this.#tokens = null;
    if (refresh) {
      await ask("auth/logout", { refresh_token: refresh });
    }
  }

  #keep(tokens) {
    clearTimeout(this.#timer);
    this.#tokens = tokens;
    const half = tokens.expires_in / 2;
    const wait = Math.max(half, tokens.expires_in - RENEW_BEFORE_SECONDS);
    this.#timer = setTimeout(() => this.#renew(tokens), wait * 1000);
  }

  async #renew(tokens) {
    const refresh = { refresh_token: tokens.refresh_token };
    try {
      this.#keep(await ask("auth/refresh", refresh));
    } catch {
      return; // the token ends when it says; the page shows that
    }
    this.#renewed(this.token);
  }
}

async function ask(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  return await answerOf(answer);
}

/** Return what was answered, or throw what a person should read. */
async function answerOf(answer) {
  if (answer.status === 204) {
    return null;
  }
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    const said = body.detail ?? body.title ?? answer.statusText;
    throw new Refused(answer.status, `${answer.status}: ${said}`);
  }
  return body;
}

/** The service has said no. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}
