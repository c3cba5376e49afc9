//! The binary: everything stands in the library, where tests can reach it.

fn main() -> std::process::ExitCode {
    anyhop::cli::run()
}
