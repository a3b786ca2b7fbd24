//! Compiles the C file that stands between libjpeg-turbo and us.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "pictures")]
    libjpeg();
}

#[cfg(feature = "pictures")]
fn libjpeg() {
    const SOURCE: &str = "src/decode/libjpeg.c";
    println!("cargo::rerun-if-changed={SOURCE}");
    let mut build = cc::Build::new();
    // From the build script of turbojpeg-sys: where the headers of the library lie that it links.
    let include = std::env::var("DEP_TURBOJPEG_INCLUDE").unwrap_or_default();
    for folder in include.split(',').filter(|folder| !folder.is_empty()) {
        build.flag("-isystem").flag(folder);
    }
    if cfg!(feature = "fast_huffman") {
        build.define("LCSL_FAST_HUFFMAN", None);
    }
    build
        .std("c11")
        .opt_level(2)
        .warnings(true)
        .extra_warnings(true)
        .file(SOURCE)
        .compile("lcsl_libjpeg");
}
