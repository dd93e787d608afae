//! Generates messages and stubs from `protos/` of the repository, or from the copy in the crate.

use std::path::{Path, PathBuf};

use protox::prost_reflect::prost_types::FileDescriptorSet;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let repository = ["../../protos", "../../third_party/googleapis", "../../third_party/grpc"];
    let roots: Vec<PathBuf> = if Path::new(repository[0]).is_dir() {
        repository.iter().map(PathBuf::from).collect()
    } else {
        vec![PathBuf::from("proto")]
    };
    let mut files = Vec::new();
    for root in &roots {
        println!("cargo:rerun-if-changed={}", root.display());
        collect(root, &mut files)?;
    }
    let descriptors = protox::compile(&files, &roots)?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("streams.rs"), streams(&descriptors))?;
    tonic_prost_build::configure()
        .build_server(false)
        // Newer contracts add values, and services to `Task.native`: a `match` needs a default.
        .enum_attribute(".", "#[non_exhaustive]")
        .include_file("protos.rs")
        .compile_fds(descriptors)?;
    Ok(())
}

/// Returns the source of a function that reports whether a method has streams, which have no default
/// timeout.
fn streams(descriptors: &FileDescriptorSet) -> String {
    let mut paths = Vec::new();
    for file in &descriptors.file {
        for service in &file.service {
            for method in &service.method {
                if method.client_streaming() || method.server_streaming() {
                    let (package, service) = (file.package(), service.name());
                    paths.push(format!("\"/{package}.{service}/{}\"", method.name()));
                }
            }
        }
    }
    format!("fn is_stream(path: &str) -> bool {{ matches!(path, {}) }}", paths.join(" | "))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Outcome<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    Ok(())
}
