/** Marks types that only this package makes; no value has it. */
export declare const brand: unique symbol
