// What the service says of its socket, as a page needs it.

/** Follow the references of one object of a document. */
function resolve(document, value) {
  while (value?.$ref?.startsWith("#/")) {
    value = value.$ref
      .slice(2)
      .split("/")
      .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
      .reduce((found, part) => found?.[part], document);
  }
  return value ?? {};
}

/** List what clients may send, with data to begin with. */
export function requestsOf(document) {
  const pushes = pushesOf(document).map(({ id }) => id);
  return messagesOf(document, "receive").map(({ example, ...message }) => ({
    ...message,
    example: "pkg_ids" in example ? { ...example, pkg_ids: pushes } : example,
  }));
}

/** List what clients are sent unasked. */
export function pushesOf(document) {
  return messagesOf(document, "send");
}

/** List how a request may end: `const`, `title` and `description`. */
export function statusCodesOf(document) {
  return document.components.schemas.status_code.oneOf;
}

/** List why a socket is closed: `code`, `name` and `description`. */
export function closeCodesOf(document) {
  return document.channels.web["x-close-codes"];
}

function messagesOf(document, action) {
  return Object.values(document.operations)
    .map((operation) => resolve(document, operation))
    .filter((operation) => operation.action === action)
    .map((operation) => messageOf(document, operation))
    .sort((one, other) => one.id - other.id);
}

function messageOf(document, operation) {
  const message = resolve(document, operation.messages[0]);
  const payload = resolve(document, message.payload);
  const { pkg_id: number, data } = payload.properties;
  return {
    id: resolve(document, number).const,
    name: message.name,
    about: operation.summary ?? message.summary ?? "",
    example: exampleOf(document, data ?? {}),
  };
}

/** Make the least that satisfies a schema, for somebody to go on from. */
function exampleOf(document, schema) {
  const { examples, anyOf, oneOf, allOf, ...found } = resolve(document, schema);
  const given = found.const ?? found.default ?? examples?.[0] ?? found.enum?.[0];
  if (given !== undefined) {
    return given;
  }
  const choices = anyOf ?? oneOf ?? allOf;
  if (choices) {
    return exampleOf(document, choices.find((one) => one.type !== "null"));
  }
  switch (found.type) {
    case "object":
      return Object.fromEntries(
        (found.required ?? []).map((name) => [
          name,
          exampleOf(document, found.properties[name]),
        ]),
      );
    case "array":
      return found.minItems ? [exampleOf(document, found.items)] : [];
    case "integer":
    case "number":
      return found.minimum ?? 1;
    case "boolean":
      return false;
    case "string":
      return found.format === "uuid" ? newUuid() : "…";
    default:
      return {};
  }
}

/** Make a random UUID; `crypto.randomUUID` is for HTTPS pages only. */
export function newUuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const digits = Array.from(bytes, (b) => b.toString(16).padStart(2, "0"));
  return digits.join("").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
