//! The function `fan-out`.

functions::main!(jobs::fan_out);
