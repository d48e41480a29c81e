// A real server for the tests: the one whose ready line stands in CLAVIGER_READY, or one of their own.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

const repository = resolve(import.meta.dirname, "../..");
const binary = resolve(process.env.CLAVIGER_BIN ?? join(repository, "target/debug/claviger"));

// What has the form of a key value, also cut short.
const secret = /clvk_[0-9A-Za-z]{8,}/;

/** Starts a server with fresh data. `stop` ends it and looks for key values in its log and on its disk. */
export async function startServer() {
  if (process.env.CLAVIGER_READY !== undefined) {
    return { ...JSON.parse(process.env.CLAVIGER_READY), stop: async () => {} };
  }
  const directory = await mkdtemp(join(tmpdir(), "claviger-"));
  const data = join(directory, "data");
  const args = ["quickstart", "--data", data, "--listen", "127.0.0.1:0", "--output", "json"];
  const child = spawn(binary, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, CLAVIGER_LOG: "debug" } });
  let log = "";
  child.stderr.setEncoding("utf8").on("data", (text) => (log += text));

  const lines = createInterface({ input: child.stdout });
  const first = await Promise.race([once(lines, "line"), once(child, "exit"), once(child, "error")]);
  assert.equal(typeof first[0], "string", `the server did not get ready: ${first[0]}\n${log}`);

  const stop = async () => {
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    const [status] = await exited;
    assert.equal(status, 0, log);
    assert.doesNotMatch(log, secret);
    const entries = await readdir(data, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
    assert.notDeepEqual(files, []);
    for (const file of files) {
      assert.doesNotMatch(await readFile(file, "latin1"), secret, file);
    }
    await rm(directory, { recursive: true });
  };
  return { ...JSON.parse(first[0]), stop };
}
