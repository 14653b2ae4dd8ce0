/// The version macros of the header; read by `build.rs` and by `tests/header.rs`.
fn version_macros(config: &mut cbindgen::Config) {
    let number = |text: &str| text.parse::<u32>().unwrap_or_default();
    let (major, minor) = (number(env!("CARGO_PKG_VERSION_MAJOR")), number(env!("CARGO_PKG_VERSION_MINOR")));
    let patch = number(env!("CARGO_PKG_VERSION_PATCH"));
    let macros = format!(
        "\n/** The version of this header. */\n#define FLOCKQ_VERSION \"{}\"\n#define FLOCKQ_VERSION_MAJOR {major}\n\
         #define FLOCKQ_VERSION_MINOR {minor}\n#define FLOCKQ_VERSION_PATCH {patch}\n\
         /** One number that grows with the version. */\n#define FLOCKQ_VERSION_NUMBER {}\n",
        env!("CARGO_PKG_VERSION"),
        major * 1_000_000 + minor * 1_000 + patch
    );
    config.after_includes = Some(config.after_includes.take().unwrap_or_default() + &macros);
}
