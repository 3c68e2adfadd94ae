// Made by scripts/generate-wire.ts from proto/*.proto. Do not edit.
import type { Codec, Reader } from "../codec.ts";
import { sizeString, sizeInt, writeString, writeInt } from "../codec.ts";

export const HealthCheckResponseServingStatus = {
  UNKNOWN: 0,
  SERVING: 1,
  NOT_SERVING: 2,
  SERVICE_UNKNOWN: 3,
} as const;

export interface HealthCheckRequest {
  readonly service: string;
}
export function sizeHealthCheckRequest(m: HealthCheckRequest): number {
  let size = 0;
  if (m.service !== "") size += 1 + sizeString(m.service);
  return size;
}
export function writeHealthCheckRequest(m: HealthCheckRequest, out: Buffer, start: number): number {
  let at = start;
  if (m.service !== "") {
    out[at++] = 10;
    at = writeString(m.service, out, at);
  }
  return at;
}
export function readHealthCheckRequest(reader: Reader, end: number): HealthCheckRequest {
  let service: string = "";
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 2);
        service = reader.string();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { service };
}
export const HealthCheckRequest: Codec<HealthCheckRequest> = {
  create: (init = {}) => ({ service: "", ...init }),
  size: sizeHealthCheckRequest,
  write: writeHealthCheckRequest,
  read: readHealthCheckRequest,
};

export interface HealthCheckResponse {
  readonly status: number;
}
export function sizeHealthCheckResponse(m: HealthCheckResponse): number {
  let size = 0;
  if (m.status !== 0) size += 1 + sizeInt(m.status);
  return size;
}
export function writeHealthCheckResponse(m: HealthCheckResponse, out: Buffer, start: number): number {
  let at = start;
  if (m.status !== 0) {
    out[at++] = 8;
    at = writeInt(m.status, out, at);
  }
  return at;
}
export function readHealthCheckResponse(reader: Reader, end: number): HealthCheckResponse {
  let status: number = 0;
  while (reader.position < end) {
    const tag = reader.tag(end);
    switch (tag >>> 3) {
      case 1:
        reader.expect(tag, 0);
        status = reader.int32();
        break;
      default:
        reader.skip(tag);
    }
  }
  return { status };
}
export const HealthCheckResponse: Codec<HealthCheckResponse> = {
  create: (init = {}) => ({ status: 0, ...init }),
  size: sizeHealthCheckResponse,
  write: writeHealthCheckResponse,
  read: readHealthCheckResponse,
};
