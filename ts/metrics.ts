/** What an event loop has done so far. Reading it costs no native call. */
export interface LoopMetrics {
  /** Turns of the loop. */
  iterations: number
  /** Events forwarded to JavaScript, by kind; messages count one each. */
  events: { ready: number; notify: number; timeout: number; interrupted: number }
  /** Wake-ups across the threads: far fewer than events, when all is well. */
  doorbells: { toJs: number; toLoop: number }
  /** The ring of events: records that wait now, the most that ever waited, and how many fit. */
  ring: { depth: number; highWater: number; capacity: number }
  /** Milliseconds spent in the poll: sleeping, for the most part. */
  pollTimeMs: number
  /** Milliseconds that the JS thread spent on delivering events, callbacks included. */
  dispatchTimeMs: number
}
