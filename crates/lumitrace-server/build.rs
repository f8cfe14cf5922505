//! Has a release build notice a new build of the web interface, which it embeds. Debug builds read
//! the interface's files when they run, and need no rebuild.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!("cargo::rerun-if-changed=../../ui/dist");
    }
}
