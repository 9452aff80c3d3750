//! Prints the TypeScript module with the layout of the shared memory.

fn main() {
    print!("{}", miolo_bridge::layout::typescript());
}
