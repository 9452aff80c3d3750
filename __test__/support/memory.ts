/** The memory that a loop shares, which is none of its users' business. */

import type { SharedSender } from 'miolo'

import { CONNECTIONS_WORDS } from '../../ts/bridge/layout.ts'

export interface Inside {
  id: number
  capacity: number
  /** Control words, rings and readiness of the loop. */
  memory: Int32Array
  /** Messages of Senders in other threads. */
  lanes: Int32Array
}

/** What is inside a SharedSender. */
export const inside = (shared: SharedSender): Inside => shared as unknown as Inside

/**
 * What `open` returns, and the memory of the connections that it makes: the arenas, and who has sent how much. That is
 * shown to nobody, so it is caught as it is made.
 */
export function withConnections<T>(open: () => T): { opened: T; connections: Int32Array } {
  const Shared = globalThis.SharedArrayBuffer
  let connections: Int32Array | undefined
  globalThis.SharedArrayBuffer = class extends Shared {
    constructor(length: number) {
      super(length)
      if (length === CONNECTIONS_WORDS * 4) connections = new Int32Array(this)
    }
  } as typeof Shared
  try {
    const opened = open()
    if (connections === undefined) throw new Error('no memory of connections was made')
    return { opened, connections }
  } finally {
    globalThis.SharedArrayBuffer = Shared
  }
}
