import { describe, expect, test } from "vitest";
import { createMemoryBackend, type MemoryBackend } from "../../storage/memory-backend.ts";
import { backendSuite } from "./backend-suite.ts";

describe("memory backend", () => {
  const opened = new WeakMap<object, MemoryBackend>();
  const remember = (backend: MemoryBackend) => {
    opened.set(backend, backend);
    return backend;
  };
  backendSuite({
    open: async () => remember(createMemoryBackend()),
    reopen: async (backend) => remember((opened.get(backend) as MemoryBackend).crash()),
  });

  test("a crash before a batch is durable finds nothing of it, a crash after finds all of it", async () => {
    for (const [hook, survives] of [
      ["beforeDurable", false],
      ["afterDurable", true],
    ] as const) {
      const backend = createMemoryBackend({ [hook]: () => new Promise<void>(() => undefined) });
      backend.put("key", "a", Buffer.from("1"));
      backend.put("meta", "a", Buffer.from("1"));
      let resolved = false;
      void backend.flush().then(() => {
        resolved = true;
      });
      await Promise.resolve();
      await Promise.resolve();
      const after = backend.crash({});
      expect(resolved).toBe(false);
      expect(after.get("key", "a") !== undefined).toBe(survives);
      expect(after.get("meta", "a") !== undefined).toBe(survives);
    }
  });

  test("a flush that hung over a crash never reaches the next life", async () => {
    let release: () => void = () => undefined;
    const backend = createMemoryBackend({
      beforeDurable: () =>
        new Promise<void>((resolve) => {
          release = resolve;
        }),
    });
    backend.put("key", "a", Buffer.from("1"));
    let ended = false;
    void backend.flush().finally(() => {
      ended = true;
    });
    const after = backend.crash({});
    release();
    for (let i = 0; i < 5; i++) await Promise.resolve();
    expect(ended).toBe(false);
    expect(after.get("key", "a")).toBeUndefined();
    expect(() => backend.get("key", "a")).toThrow("the memory backend is crashed");
  });

  test("a failed flush is final", async () => {
    const backend = createMemoryBackend({ beforeDurable: () => Promise.reject(new Error("disk is gone")) });
    backend.put("key", "a", Buffer.from("1"));
    await expect(backend.flush()).rejects.toThrow("disk is gone");
    await expect(backend.flush()).rejects.toThrow("disk is gone");
    expect(backend.crash().get("key", "a")).toBeUndefined();
  });
});
