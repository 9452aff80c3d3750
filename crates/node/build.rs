//! Lets the linker leave Node.js' own symbols to the process that loads the module.

fn main() {
    napi_build::setup();
}
