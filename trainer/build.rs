//! Compiles the C++ shim beside libtorch, and lets binaries and tests find libtorch where the build
//! found it, so that running them needs no variable.

fn main() {
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    #[cfg(feature = "engine")]
    shim();
}

#[cfg(feature = "engine")]
fn shim() {
    use std::path::Path;

    const SOURCES: &str = "src/engine/native";
    println!("cargo::rerun-if-changed={SOURCES}");
    let Some(libtorch) = std::env::var_os("LIBTORCH") else {
        return; // torch-sys says what is missing
    };
    let libtorch = Path::new(&libtorch);
    println!("cargo::rustc-link-arg=-Wl,-rpath,{}", libtorch.join("lib").display());

    let sources = Path::new(SOURCES);
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").opt_level(3).warnings(true).extra_warnings(true);
    #[cfg(feature = "winograd")]
    winograd(&build, sources);

    let include = libtorch.join("include");
    for folder in [include.join("torch/csrc/api/include"), include] {
        build.flag("-isystem").flag(folder);
    }
    // libtorch's loops over threads are templates that need OpenMP where they are used. The linker
    // finds the compiler's libgomp.so.1, the loader the one beside libtorch: one of that name only.
    build.flag("-fopenmp").define("_GLIBCXX_USE_CXX11_ABI", "1");
    if cfg!(feature = "winograd") {
        build.define("LCSL_WINOGRAD", None);
    }
    build.file(sources.join("shim_unit.cpp"));
    build.compile("lcsl_shim");
    println!("cargo::rustc-link-lib=gomp");
}

/// The kernels know nothing of libtorch, and have flags of their own.
#[cfg(feature = "winograd")]
fn winograd(build: &cc::Build, sources: &std::path::Path) {
    let compile = |name: &str, flags: &[&str]| {
        let mut kernels = build.clone();
        kernels.flag("-Wno-psabi").define("LCSL_WINOGRAD_KERNELS", name);
        for flag in flags {
            kernels.flag(flag);
        }
        kernels.file(sources.join("winograd.cpp")).compile(&format!("lcsl_winograd_{name}"));
    };
    compile("kPlain", &[]);
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|architecture| architecture == "x86_64") {
        // The processor is asked in convolution.cpp before any of these instructions runs.
        compile("kAvx512", &["-mavx512f", "-mfma", "-mprefer-vector-width=512"]);
    }
}
