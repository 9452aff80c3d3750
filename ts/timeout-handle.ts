import type { brand } from './brand.ts'

/**
 * A timeout that was set, for `clearTimeout` of the loop that it was set on. There it names this timeout alone: once it
 * has been delivered or cleared, the handle is good for nothing and harms nothing. mio: `Timeout`.
 */
export type TimeoutHandle = number & { readonly [brand]: 'TimeoutHandle' }
