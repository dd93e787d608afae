import { writeFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, describe, expect, it } from "vitest";

import { connect } from "../src/index.js";
import type { Token } from "../src/index.js";
import { tokenCredentials } from "../src/security.js";

const folder = mkdtempSync(join(tmpdir(), "taskgate-"));
const file = join(folder, "token");

afterAll(() => {
  rmSync(folder, { recursive: true });
});

async function sent(token: Token): Promise<unknown> {
  const context = { service_url: "https://taskgate.example/x", method_name: "x" };
  const metadata = await tokenCredentials(token).generateMetadata(context);
  return metadata.get("authorization")[0];
}

describe("a token", () => {
  it("is sent unchanged", async () => {
    expect(await sent("abc")).toBe("Bearer abc");
  });

  it("is read from its file for each call, without the newline at its end", async () => {
    writeFileSync(file, "one\n");
    expect(await sent({ file })).toBe("Bearer one");
    writeFileSync(file, "two\n");
    expect(await sent({ file })).toBe("Bearer two");
  });

  it("comes from a function, which may be asynchronous", async () => {
    expect(await sent(() => "now")).toBe("Bearer now");
    expect(await sent(() => Promise.resolve("later"))).toBe("Bearer later");
  });

  it("fails the call when there is none", async () => {
    await expect(sent({ file: join(folder, "absent") })).rejects.toThrow(/ENOENT/);
    const failing = () => {
      throw new Error("not logged in");
    };
    await expect(sent(failing)).rejects.toThrow("not logged in");
  });

  it("fails the call when it cannot be sent, without being in the message", async () => {
    const message = await sent("secret\nsecret").catch((error: unknown) => String(error));
    expect(message).toMatch(/characters/);
    expect(message).not.toMatch(/secret/);
  });

  it("is refused without TLS", () => {
    expect(() => connect("127.0.0.1:1", { token: "abc" })).toThrow(/TLS/);
  });
});

describe("a client certificate", () => {
  it.each([{ certificate: "client.pem" }, { key: "client.key" }])("needs its key", (tls) => {
    expect(() => connect("127.0.0.1:1", { tls })).toThrow(/key/);
  });
});
