// Made by scripts/generate-wire.ts from proto/*.proto. Do not edit.
import type { Codec, Reader } from "../codec.ts";
import {
  sizeDelimited,
  sizeBytes,
  sizeLatin1,
  sizeString,
  sizeInt,
  writeBytes,
  writeLatin1,
  writeString,
  writeUint,
  writeInt,
  EMPTY,
} from "../codec.ts";

export const PermissionType = {
  READ: 0,
  WRITE: 1,
  READWRITE: 2,
} as const;

export interface UserAddOptions {
  readonly noPassword: boolean;
}
export function sizeUserAddOptions(m: UserAddOptions): number {
  let size = 0;
  if (m.noPassword) size += 1 + 1;
  return size;
}
export function writeUserAddOptions(m: UserAddOptions, out: Buffer, start: number): number {
  let at = start;
  if (m.noPassword) {
    out[at++] = 8;
    out[at++] = m.noPassword ? 1 : 0;
  }
  return at;
}
export function readUserAddOptions(reader: Reader, end: number): UserAddOptions {
  let noPassword: boolean = false;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        noPassword = reader.bool();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { noPassword };
}
export const UserAddOptions: Codec<UserAddOptions> = {
  create: (init = {}) => ({ noPassword: false, ...init }),
  size: sizeUserAddOptions,
  write: writeUserAddOptions,
  read: readUserAddOptions,
};

export interface User {
  readonly name: Uint8Array;
  readonly password: Uint8Array;
  readonly roles: readonly string[];
  readonly options: UserAddOptions | undefined;
}
export function sizeUser(m: User): number {
  let size = 0;
  if (m.name.length > 0) size += 1 + sizeBytes(m.name);
  if (m.password.length > 0) size += 1 + sizeBytes(m.password);
  for (const v of m.roles) size += 1 + sizeString(v);
  if (m.options !== undefined) size += 1 + sizeDelimited(sizeUserAddOptions(m.options));
  return size;
}
export function writeUser(m: User, out: Buffer, start: number): number {
  let at = start;
  if (m.name.length > 0) {
    out[at++] = 10;
    at = writeBytes(m.name, out, at);
  }
  if (m.password.length > 0) {
    out[at++] = 18;
    at = writeBytes(m.password, out, at);
  }
  for (const v of m.roles) {
    out[at++] = 26;
    at = writeString(v, out, at);
  }
  if (m.options !== undefined) {
    out[at++] = 34;
    at = writeUint(sizeUserAddOptions(m.options), out, at);
    at = writeUserAddOptions(m.options, out, at);
  }
  return at;
}
export function readUser(reader: Reader, end: number): User {
  let name: Uint8Array = EMPTY;
  let password: Uint8Array = EMPTY;
  const roles: string[] = [];
  let options: UserAddOptions | undefined = undefined;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        name = reader.bytes();
        break;
      case 2:
        reader.expect(tag, 2);
        password = reader.bytes();
        break;
      case 3:
        reader.expect(tag, 2);
        roles.push(reader.string());
        break;
      case 4:
        reader.expect(tag, 2);
        options = reader.message(readUserAddOptions);
        break;
      default:
        reader.skip(tag);
    }
  }
  return { name, password, roles, options };
}
export const User: Codec<User> = {
  create: (init = {}) => ({ name: EMPTY, password: EMPTY, roles: [], options: undefined, ...init }),
  size: sizeUser,
  write: writeUser,
  read: readUser,
};

export interface Permission {
  readonly permType: number;
  readonly key: string;
  readonly rangeEnd: string;
}
export function sizePermission(m: Permission): number {
  let size = 0;
  if (m.permType !== 0) size += 1 + sizeInt(m.permType);
  if (m.key !== "") size += 1 + sizeLatin1(m.key);
  if (m.rangeEnd !== "") size += 1 + sizeLatin1(m.rangeEnd);
  return size;
}
export function writePermission(m: Permission, out: Buffer, start: number): number {
  let at = start;
  if (m.permType !== 0) {
    out[at++] = 8;
    at = writeInt(m.permType, out, at);
  }
  if (m.key !== "") {
    out[at++] = 18;
    at = writeLatin1(m.key, out, at);
  }
  if (m.rangeEnd !== "") {
    out[at++] = 26;
    at = writeLatin1(m.rangeEnd, out, at);
  }
  return at;
}
export function readPermission(reader: Reader, end: number): Permission {
  let permType: number = 0;
  let key: string = "";
  let rangeEnd: string = "";
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        permType = reader.int32();
        break;
      case 2:
        reader.expect(tag, 2);
        key = reader.latin1();
        break;
      case 3:
        reader.expect(tag, 2);
        rangeEnd = reader.latin1();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { permType, key, rangeEnd };
}
export const Permission: Codec<Permission> = {
  create: (init = {}) => ({ permType: 0, key: "", rangeEnd: "", ...init }),
  size: sizePermission,
  write: writePermission,
  read: readPermission,
};

export interface Role {
  readonly name: Uint8Array;
  readonly keyPermission: readonly Permission[];
}
export function sizeRole(m: Role): number {
  let size = 0;
  if (m.name.length > 0) size += 1 + sizeBytes(m.name);
  for (const v of m.keyPermission) size += 1 + sizeDelimited(sizePermission(v));
  return size;
}
export function writeRole(m: Role, out: Buffer, start: number): number {
  let at = start;
  if (m.name.length > 0) {
    out[at++] = 10;
    at = writeBytes(m.name, out, at);
  }
  for (const v of m.keyPermission) {
    out[at++] = 18;
    at = writeUint(sizePermission(v), out, at);
    at = writePermission(v, out, at);
  }
  return at;
}
export function readRole(reader: Reader, end: number): Role {
  let name: Uint8Array = EMPTY;
  const keyPermission: Permission[] = [];
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        name = reader.bytes();
        break;
      case 2:
        reader.expect(tag, 2);
        keyPermission.push(reader.message(readPermission));
        break;
      default:
        reader.skip(tag);
    }
  }
  return { name, keyPermission };
}
export const Role: Codec<Role> = {
  create: (init = {}) => ({ name: EMPTY, keyPermission: [], ...init }),
  size: sizeRole,
  write: writeRole,
  read: readRole,
};
