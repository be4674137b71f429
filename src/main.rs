//! The program: reads the command line, puts the parts together, runs.

fn main() {}
