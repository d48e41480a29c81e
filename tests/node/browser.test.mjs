// What a browser asks of the server before and around each call: CORS, and gRPC-Web as it is on the wire.

import assert from "node:assert/strict";
import { request } from "node:http";
import { after, before, test } from "node:test";

import { Code, appApi } from "@viamrobotics/sdk";

import { startServer } from "./server.mjs";

const origin = "https://dashboard.example";
const listKeys = "/viam.app.v1.AppService/ListKeys";
const authenticate = "/proto.rpc.v1.AuthService/Authenticate";

// What the SDK sends beyond what a browser sends by itself, and what it reads of an answer.
const sentHeaders = [
  "content-type",
  "x-grpc-web",
  "x-user-agent",
  "authorization",
  "viam_client",
  "rpc-host",
  "grpc-timeout",
  "viam-sid",
];
const readHeaders = ["grpc-status", "grpc-message", "grpc-status-details-bin"];

let server;
before(async () => {
  server = await startServer();
});
after(() => server.stop());

function send(method, path, headers, body = "") {
  return new Promise((resolve, reject) => {
    const sent = request(new URL(path, server.url), { method, headers: { origin, ...headers } }, (answer) => {
      const chunks = [];
      answer.on("data", (chunk) => chunks.push(chunk));
      answer.on("end", () => resolve({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(chunks) }));
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

const words = (header) => (header ?? "").toLowerCase().split(/\s*,\s*/);

function framed(message) {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

const grpcWeb = { "content-type": "application/grpc-web+proto", "x-grpc-web": "1" };

function assertReadable(answer) {
  assert.ok(["*", origin].includes(answer.headers["access-control-allow-origin"]));
  const exposed = words(answer.headers["access-control-expose-headers"]);
  assert.deepEqual(
    readHeaders.filter((name) => !exposed.includes(name) && !exposed.includes("*")),
    [],
  );
}

for (const path of [listKeys, authenticate]) {
  test(`a preflight lets the SDK call ${path}`, async () => {
    const answer = await send("OPTIONS", path, {
      "access-control-request-method": "POST",
      "access-control-request-headers": sentHeaders.join(","),
    });
    assert.ok([200, 204].includes(answer.status), `${answer.status}`);
    assert.ok(["*", origin].includes(answer.headers["access-control-allow-origin"]));
    const methods = words(answer.headers["access-control-allow-methods"]);
    assert.ok(methods.includes("post") || methods.includes("*"));
    const allowed = words(answer.headers["access-control-allow-headers"]);
    // `authorization` is the one name that `*` does not stand for.
    assert.ok(allowed.includes("authorization"));
    const missing = sentHeaders.filter((name) => !allowed.includes(name) && !allowed.includes("*"));
    assert.deepEqual(missing, []);
    assert.equal(answer.body.length, 0);
  });
}

test("a refusal is readable from another origin", async () => {
  const message = new appApi.ListKeysRequest({ orgId: server.organization_id }).toBinary();
  const answer = await send("POST", listKeys, grpcWeb, framed(message));
  assert.equal(answer.status, 200);
  assertReadable(answer);
  // Either in the headers, or as a frame of trailers in the body.
  const trailers = `grpc-status: ${answer.headers["grpc-status"]}\n${answer.body.toString("latin1")}`;
  assert.match(trailers, new RegExp(`grpc-status: ?${Code.Unauthenticated}\\b`));
});

test("an answer is readable from another origin, with its trailers in the body", async () => {
  const { id, key } = server.owner_key;
  const login = framed(authenticateRequest(id, key));
  const answer = await send("POST", authenticate, grpcWeb, login);
  assert.equal(answer.status, 200);
  assert.match(answer.headers["content-type"], /^application\/grpc-web/);
  assertReadable(answer);
  const length = answer.body.readUInt32BE(1);
  assert.equal(answer.body[0], 0);
  const trailers = answer.body.subarray(5 + length);
  assert.equal(trailers[0], 0x80);
  assert.match(trailers.subarray(5).toString("latin1"), /grpc-status: ?0\r?\n/);
});

test("a page that is no client gets no answer of a method", async () => {
  for (const [method, headers] of [
    ["GET", {}],
    ["POST", { "content-type": "text/plain" }],
    ["POST", { "content-type": "application/x-www-form-urlencoded" }],
  ]) {
    const answer = await send(method, listKeys, headers, method === "GET" ? "" : "org_id=x");
    assert.notEqual(answer.headers["grpc-status"], "0");
    assert.ok(answer.status >= 400 || answer.headers["grpc-status"] !== undefined, `${method} ${answer.status}`);
  }
});

/** An AuthenticateRequest by hand: the package exports no message for it. */
function authenticateRequest(entity, payload) {
  const field = (number, content) => {
    const bytes = Buffer.from(content);
    return Buffer.concat([Buffer.from([(number << 3) | 2, bytes.length]), bytes]);
  };
  return Buffer.concat([field(1, entity), field(2, Buffer.concat([field(1, "api-key"), field(2, payload)]))]);
}
