//! Makes the messages and stubs of `protos/`: the repository's, or the copy that the crate carries.

use std::path::{Path, PathBuf};

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
    tonic_prost_build::configure()
        .build_server(false)
        .include_file("protos.rs")
        .compile_fds(descriptors)?;
    Ok(())
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
