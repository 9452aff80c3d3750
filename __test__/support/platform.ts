/** How to declare a test of what is not on every system: elsewhere it is skipped. */

import test from 'ava'

type Declare = typeof test.serial | typeof test.serial.skip

/** What Windows does not have: signals to end a program with, limits on descriptors, a libuv that watches one. */
export const onUnix: Declare = process.platform === 'win32' ? test.serial.skip : test.serial

/** What only Linux has, strace among it. */
export const onLinux: Declare = process.platform === 'linux' ? test.serial : test.serial.skip
