// A key from its creation to its end, through the unmodified TypeScript SDK.
//
// The same tests run over both transports that the SDK is used with: gRPC-Web over HTTP/1.1, which is what it speaks by
// itself and all that a browser can, and gRPC over HTTP/2 without TLS, for which it has a hook.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { createGrpcTransport } from "@connectrpc/connect-node";
import { Code, ConnectError, appApi, createViamClient } from "@viamrobotics/sdk";

import { startServer } from "./server.mjs";

const transports = {
  "gRPC-Web over HTTP/1.1": undefined,
  "gRPC over HTTP/2": (options) => createGrpcTransport({ ...options, httpVersion: "2" }),
};

const keyForm = /^clvk_[0-9A-Za-z]{49}$/;

let server;
before(async () => {
  server = await startServer();
});
after(() => server.stop());

/** The app client of somebody who holds this key. */
async function connect({ id, key }) {
  const client = await createViamClient({
    serviceHost: server.url,
    credentials: { type: "api-key", authEntity: id, payload: key },
  });
  return client.appClient;
}

/** An authorization as the SDK's users have to build it: the helper for it is not exported. */
function authorization(role, resourceType, resourceId) {
  return new appApi.Authorization({
    authorizationType: "role",
    authorizationId: `${resourceType}_${role}`,
    resourceType,
    resourceId,
    identityType: "api-key",
    organizationId: server.organization_id,
  });
}

function refusal(code, words) {
  return (error) => {
    assert.ok(error instanceof ConnectError, error);
    assert.equal(error.code, code, error.message);
    assert.match(error.rawMessage, words);
    return true;
  };
}

const invalidCredentials = refusal(Code.Unauthenticated, /^invalid credentials$/);

for (const [name, factory] of Object.entries(transports)) {
  describe(name, () => {
    let owner;

    before(async () => {
      globalThis.VIAM = factory === undefined ? undefined : { GRPC_TRANSPORT_FACTORY: factory };
      owner = await connect(server.owner_key);
    });
    after(() => {
      delete globalThis.VIAM;
    });

    /** A key for the machine, and its holder. */
    async function newKey(role, keyName) {
      const grants = [authorization(role, "robot", server.machine_id)];
      const key = await owner.createKey(grants, keyName);
      return { key, holder: await connect(key) };
    }

    const find = async (id) => (await owner.listKeys(server.organization_id)).find((it) => it.apiKey?.id === id);

    test("a key is created, listed without its value, and used", async () => {
      const { key, holder } = await newKey("operator", "arm-control");
      assert.match(key.key, keyForm);
      const listed = await find(key.id);
      assert.equal(listed.apiKey.name, "arm-control");
      assert.equal(listed.apiKey.key, "");
      assert.deepEqual(
        listed.authorizations.map((it) => [it.authorizationId, it.resourceType, it.resourceId]),
        [["robot_operator", "robot", server.machine_id]],
      );
      const machine = await holder.getRobot(server.machine_id);
      assert.equal(machine.id, server.machine_id);
      const organizations = await holder.listOrganizations();
      assert.deepEqual(
        organizations.map((it) => it.id),
        [server.organization_id],
      );
    });

    test("a wrong key is refused when the client is created", async () => {
      const wrong = { id: server.owner_key.id, key: server.operator_key.key };
      await assert.rejects(connect(wrong), invalidCredentials);
      await assert.rejects(connect({ ...wrong, key: "" }), invalidCredentials);
    });

    test("a rotated key has a new value, and the old one is dead on the next call", async () => {
      const { key, holder } = await newKey("operator", "rotating");
      await holder.getRobot(server.machine_id);
      const rotated = await owner.rotateKey(key.id);
      assert.equal(rotated.id, key.id);
      assert.match(rotated.key, keyForm);
      assert.notEqual(rotated.key, key.key);
      await assert.rejects(holder.getRobot(server.machine_id), invalidCredentials);
      await assert.rejects(connect(key), invalidCredentials);
      const machine = await (await connect(rotated)).getRobot(server.machine_id);
      assert.equal(machine.id, server.machine_id);
    });

    test("a deleted key is dead on the next call", async () => {
      const { key, holder } = await newKey("operator", "leaving");
      await holder.getRobot(server.machine_id);
      await owner.deleteKey(key.id);
      await assert.rejects(holder.getRobot(server.machine_id), invalidCredentials);
      await assert.rejects(connect(key), invalidCredentials);
      assert.equal(await find(key.id), undefined);
      await assert.rejects(owner.deleteKey(key.id), refusal(Code.NotFound, /^key not found/));
    });

    test("a duplicate may the same and lives on its own", async () => {
      const { key } = await newKey("operator", "line-3");
      const copy = await owner.createKeyFromExistingKeyAuthorizations(key.id);
      assert.notEqual(copy.id, key.id);
      await owner.deleteKey(key.id);
      assert.equal((await find(copy.id)).apiKey.name, "line-3 (copy)");
      const machine = await (await connect(copy)).getRobot(server.machine_id);
      assert.equal(machine.id, server.machine_id);
    });

    test("a role that was changed holds on the next call", async () => {
      const { key, holder } = await newKey("owner", "narrowed");
      await holder.updateRobot(server.machine_id, server.location_id, "renamed");
      const [was, is] = ["owner", "operator"].map((role) => {
        const grant = authorization(role, "robot", server.machine_id);
        grant.identityId = key.id;
        return grant;
      });
      await owner.changeRole(was, is);
      const renaming = holder.updateRobot(server.machine_id, server.location_id, "renamed again");
      await assert.rejects(renaming, refusal(Code.PermissionDenied, /write_robot is missing on machine/));
      assert.equal((await holder.getRobot(server.machine_id)).name, "renamed");
    });

    test("permissions are checked for the caller", async () => {
      const question = new appApi.AuthorizedPermissions({
        resourceType: "robot",
        resourceId: server.machine_id,
        permissions: ["write_robot", "control_robot"],
      });
      const operator = await connect(server.operator_key);
      const answers = await Promise.all([owner, operator].map((client) => client.checkPermissions([question])));
      assert.deepEqual(
        answers.map(([answer]) => answer.permissions),
        [["write_robot", "control_robot"], ["control_robot"]],
      );
    });

    test("a request that is wrong is refused with the reason", async () => {
      await assert.rejects(owner.createKey([], "x"), refusal(Code.InvalidArgument, /^authorizations: must name/));
      await assert.rejects(owner.rotateKey("not-an-id"), refusal(Code.InvalidArgument, /^id: must be a UUID/));
      await assert.rejects(owner.getFragment(server.organization_id), refusal(Code.Unimplemented, /GetFragment/));
    });
  });
}
