#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| flockq_fuzz::calls::run(input));
