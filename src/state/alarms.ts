import { decode } from "../../proto/codec.ts";
import {
  AlarmMember,
  type AlarmRequest,
  AlarmRequestAlarmAction,
  AlarmResponse,
  AlarmType,
} from "../../proto/generated/etcdserverpb.ts";
import type { Backend } from "../../storage/backend.ts";
import { ALARM_VALUE, alarmKey } from "../../storage/schema.ts";
import { type ApiError, errors } from "../api/errors.ts";
import type { Alarms } from "./machine.ts";

/** The replicated list of alarms; everything stored of one is in its key (N-8). */
export class AlarmList implements Alarms {
  readonly #backend: Backend;
  /** By stored key. */
  readonly #alarms = new Map<string, AlarmMember>();

  constructor(backend: Backend, rows: Iterable<readonly [key: string, value: Uint8Array]>) {
    this.#backend = backend;
    for (const [key] of rows) this.#alarms.set(key, decode(AlarmMember, Buffer.from(key, "latin1")));
  }

  list(type: number): readonly AlarmMember[] {
    return [...this.#alarms.values()]
      .filter(({ alarm }) => type === AlarmType.NONE || alarm === type)
      .sort((a, b) => a.alarm - b.alarm || (a.memberID < b.memberID ? -1 : 1));
  }

  isActive(type: number): boolean {
    for (const { alarm } of this.#alarms.values()) {
      if (alarm === type) return true;
    }
    return false;
  }

  /** N-10. The answer names the alarms that the request is about: all it asked for, or the one it named. */
  apply({ action, alarm, memberID }: AlarmRequest): AlarmResponse | ApiError {
    const key = alarmKey(memberID, alarm);
    const known = this.#alarms.get(key);
    switch (action) {
      case AlarmRequestAlarmAction.GET:
        return AlarmResponse.create({ alarms: this.list(alarm) });
      case AlarmRequestAlarmAction.ACTIVATE: {
        if (alarm === AlarmType.NONE) return AlarmResponse.create();
        const active = known ?? { memberID, alarm };
        if (known === undefined) {
          this.#alarms.set(key, active);
          this.#backend.put("alarm", key, ALARM_VALUE);
        }
        return AlarmResponse.create({ alarms: [active] });
      }
      case AlarmRequestAlarmAction.DEACTIVATE: {
        if (known === undefined) return AlarmResponse.create();
        this.#alarms.delete(key);
        this.#backend.delete("alarm", key);
        return AlarmResponse.create({ alarms: [known] });
      }
      default:
        return errors.unknownAlarmAction;
    }
  }
}
