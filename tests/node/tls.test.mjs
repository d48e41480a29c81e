// The unmodified TypeScript SDK over https, trusting the local CA the way the documentation says: NODE_EXTRA_CA_CERTS.
//
// Node reads that variable when it starts, so the client is a process of its own.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { connect } from "node:tls";

const binary = resolve(process.env.CLAVIGER_BIN ?? resolve(import.meta.dirname, "../../target/debug/claviger"));

let directory;
let child;
let log = "";
let server;
let ca;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "claviger-"));
  const data = join(directory, "data");
  ca = join(data, "tls", "ca.pem");
  const args = ["quickstart", "--data", data, "--listen", "127.0.0.1:0", "--tls-self-signed", "--output", "json"];
  child = spawn(binary, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, CLAVIGER_LOG: "debug" } });
  child.stderr.setEncoding("utf8").on("data", (text) => (log += text));
  const lines = createInterface({ input: child.stdout });
  const [line] = await Promise.race([once(lines, "line"), once(child, "exit"), once(child, "error")]);
  assert.equal(typeof line, "string", `the server did not get ready: ${line}\n${log}`);
  server = JSON.parse(line);
  assert.match(server.url, /^https:\/\/localhost:\d+$/);
});

after(async () => {
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  const [status] = await exited;
  assert.equal(status, 0, log);
  assert.doesNotMatch(log, /clvk_[0-9A-Za-z]{8,}/);
  await rm(directory, { recursive: true });
});

// What somebody writes: connects with a key, makes another, and asks with that one for its machine.
const program = (http2) => `
  import { appApi, createViamClient } from "@viamrobotics/sdk";
  ${http2 ? 'import { createGrpcTransport } from "@connectrpc/connect-node";' : ""}
  ${http2 ? 'globalThis.VIAM = { GRPC_TRANSPORT_FACTORY: (it) => createGrpcTransport({ ...it, httpVersion: "2" }) };' : ""}
  const { serviceHost, organization, machine, owner } = JSON.parse(process.env.TASK);
  const as = async ({ id, key }) => {
    const credentials = { type: "api-key", authEntity: id, payload: key };
    return (await createViamClient({ serviceHost, credentials })).appClient;
  };
  const app = await as(owner);
  const made = await app.createKey(
    [
      new appApi.Authorization({
        authorizationType: "role",
        authorizationId: "robot_operator",
        resourceType: "robot",
        resourceId: machine,
        identityType: "api-key",
        organizationId: organization,
      }),
    ],
    "over tls",
  );
  const { id } = await (await as(made)).getRobot(machine);
  console.log(JSON.stringify({ id }));
  process.exit(0);
`;

/** Runs the program as a child that trusts what `trusted` says, and nothing of ours otherwise. */
function run({ http2 = false, host = server.url, trusted = undefined }) {
  const env = { ...process.env };
  delete env.NODE_EXTRA_CA_CERTS;
  delete env.NODE_TLS_REJECT_UNAUTHORIZED;
  delete env.CLAVIGER_READY;
  if (trusted !== undefined) {
    env.NODE_EXTRA_CA_CERTS = trusted;
  }
  env.TASK = JSON.stringify({
    serviceHost: host,
    organization: server.organization_id,
    machine: server.machine_id,
    owner: server.owner_key,
  });
  const args = ["--input-type=module", "--eval", program(http2)];
  return new Promise((done) => {
    execFile(process.execPath, args, { cwd: import.meta.dirname, env, timeout: 60_000 }, (error, stdout, stderr) => {
      done({ status: error === null ? 0 : error.code, stdout, stderr });
    });
  });
}

for (const http2 of [false, true]) {
  describe(http2 ? "gRPC over HTTP/2" : "gRPC-Web over HTTP/1.1", () => {
    test("a client that trusts the local CA is served, by name and by address", async () => {
      for (const host of [server.url, server.url.replace("localhost", "127.0.0.1")]) {
        const { status, stdout, stderr } = await run({ http2, host, trusted: ca });
        assert.equal(status, 0, `${host}\n${stderr}`);
        assert.deepEqual(JSON.parse(stdout), { id: server.machine_id });
      }
    });

    test("a client that does not trust it does not connect", async () => {
      const { status, stdout, stderr } = await run({ http2 });
      assert.equal(status, 1, stderr);
      assert.equal(stdout, "");
      assert.match(stderr, /unable to verify the first certificate|self[- ]signed certificate|UNABLE_TO_VERIFY_LEAF_SIGNATURE/);
    });
  });
}

test("the protocol is what the client can, HTTP/2 rather", async () => {
  const port = Number(new URL(server.url).port);
  const trust = await readFile(ca);
  for (const [offered, chosen] of [
    [["h2", "http/1.1"], "h2"],
    [["http/1.1", "h2"], "h2"],
    [["http/1.1"], "http/1.1"],
  ]) {
    const socket = connect({ host: "127.0.0.1", port, servername: "localhost", ca: trust, ALPNProtocols: offered });
    await once(socket, "secureConnect");
    assert.equal(socket.authorized, true);
    assert.equal(socket.alpnProtocol, chosen);
    socket.destroy();
  }
});
