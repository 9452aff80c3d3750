/** The memory that a loop shares, which is none of its users' business. */

import type { SharedSender } from 'miolo'

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
