"""Installs each published artifact into an empty project elsewhere, and runs its README's programs.

`make packages` has built the artifacts. A program passes if it exits with 0 and writes something.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from conformance.runners import CLIENTS
from conformance.world import World

SECONDS = 900
PUBLIC_ADDRESS, LOCAL_ADDRESS = "taskgate.example.com:443", "127.0.0.1:50051"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ecosystem:
    """How a program of a README is made to run."""

    fence: str
    """What its code blocks are marked with."""
    install: Callable[[Path], None]
    """Makes a project of an empty folder, with the artifact installed."""
    program: str
    """Where in the project the program goes."""
    run: tuple[str, ...]
    readme: Path


def main() -> int:
    """Returns the exit status: 1 if a program failed."""
    parser = argparse.ArgumentParser(prog="readmes", description=__doc__)
    parser.add_argument("languages", nargs="*", metavar="LANGUAGE")
    chosen = parser.parse_args().languages or list(ECOSYSTEMS)
    failures = []
    with World() as world:
        for language in chosen:
            failures += try_language(language, world)
    for failure in failures:
        sys.stdout.write(f"{failure}\n")
    return 1 if failures else 0


def try_language(language: str, world: World) -> list[str]:
    """What went wrong."""
    ecosystem = ECOSYSTEMS[language]
    programs = programs_of(ecosystem)
    if len(programs) < 4:
        return [f"{language}: the README has {len(programs)} programs; there should be four"]
    with tempfile.TemporaryDirectory(prefix=f"taskgate-{language}-") as folder:
        project = Path(folder)
        ecosystem.install(project)
        failures = []
        for heading, text in programs:
            path = project / ecosystem.program
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(in_world(text, world.variables))
            world.begin()
            done = subprocess.run(
                ecosystem.run,
                cwd=project,
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
            passed = done.returncode == 0 and bool(done.stdout.strip())
            sys.stdout.write(f"{language}: {heading}: {done.stdout.strip() or 'nothing'}\n")
            if not passed:
                failures.append(f"{language}: {heading}: exit {done.returncode}\n{done.stderr}")
    return failures


def programs_of(ecosystem: Ecosystem) -> list[tuple[str, str]]:
    """The programs, each with the heading that it is under."""
    found, heading = [], ""
    pattern = rf"^## (?P<heading>[^\n]+)$|^```{ecosystem.fence}\n(?P<text>.*?)^```$"
    for match in re.finditer(pattern, ecosystem.readme.read_text(), re.MULTILINE | re.DOTALL):
        if match["heading"]:
            heading = match["heading"]
        else:
            found.append((heading, match["text"]))
    return found


def in_world(text: str, variables: Mapping[str, str]) -> str:
    """A program with the world's addresses, files and names in place of the README's."""
    for told, real in {
        PUBLIC_ADDRESS: variables["TLS"],
        LOCAL_ADDRESS: variables["SERVER"],
        "ca.pem": variables["CA"],
        "/var/run/secrets/taskgate/token": variables["TOKEN_FILE"],
        "omics/runs/1234567/tasks/7654321": variables["RUN_TASK"],
        "omics/runs/1234567": variables["ENDED_RUN"],
    }.items():
        text = text.replace(told, real)
    return text


def shell(project: Path, *command: str) -> None:
    """Runs one command of an installation.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    subprocess.run(command, cwd=project, check=True, timeout=SECONDS, stdout=subprocess.DEVNULL)


def install_python(project: Path) -> None:
    """A virtual environment with the wheel, from the same index as everything else."""
    _install_python(project, "whl")


def install_sdist(project: Path) -> None:
    """The same with the source distribution, whose stubs are made when it is installed."""
    _install_python(project, "tar.gz")


def _install_python(project: Path, ending: str) -> None:
    (artifact,) = (CLIENTS.parent / "dist").glob(f"taskgate-*.{ending}")
    uv = str(Path(sys.executable).with_name("uv"))
    shell(project, uv, "venv", "--quiet", "--python", sys.executable, "venv")
    shell(project, uv, "pip", "install", "--quiet", "--python", "venv/bin/python", str(artifact))


def install_go(project: Path) -> None:
    """A module that requires the client's, out of a proxy that has it before the usual ones."""
    module = "github.com/taskgate/taskgate/clients/go"
    usual = subprocess.run(
        ("go", "env", "GOPROXY"), capture_output=True, text=True, check=True
    ).stdout.strip()
    shell(project, "go", "mod", "init", "example.com/first")
    shell(
        project,
        *("env", f"GOPROXY=file://{CLIENTS / 'go/build/proxy'},{usual}", f"GONOSUMDB={module}"),
        *(f"GONOSUMCHECK={module}", "go", "get", f"{module}@v0.1.0"),
    )


def install_typescript(project: Path) -> None:
    """A package that depends on the packed one, with the compiler that the client has."""
    (tarball,) = (CLIENTS / "typescript/build").glob("*.tgz")
    (project / "package.json").write_text('{"type": "module", "private": true}')
    compiler = ("typescript@5", "@types/node@20")
    shell(project, "npm", "install", "--silent", "--no-audit", "--no-fund", str(tarball), *compiler)
    (project / "tsconfig.json").write_text(
        '{"compilerOptions": {"strict": true, "module": "NodeNext", "target": "ES2022"}}'
    )


def install_java(project: Path) -> None:
    """A project that depends on the jar, in a local repository of its own before the usual one.

    All that Maven is told of the jar's needs is in it.
    """
    (maven,) = (CLIENTS / "java/build").glob("apache-maven-*/bin/mvn")
    (jar,) = (CLIENTS / "java/target").glob("taskgate-client-*[0-9].jar")
    usual = Path.home() / ".m2/repository"
    mvn = (
        *(str(maven), "--quiet", "--batch-mode", f"-Dmaven.repo.local={project / 'repository'}"),
        f"-Dmaven.repo.local.tail={usual}",
    )
    plugins = "org.apache.maven.plugins"
    shell(project, *mvn, f"{plugins}:maven-install-plugin:3.1.4:install-file", f"-Dfile={jar}")
    (project / "pom.xml").write_text(
        "<project><modelVersion>4.0.0</modelVersion><groupId>com.example</groupId>"
        "<artifactId>first</artifactId><version>1</version><dependencies><dependency>"
        "<groupId>io.taskgate</groupId><artifactId>taskgate-client</artifactId>"
        "<version>0.1.0</version></dependency></dependencies></project>"
    )
    goal = f"{plugins}:maven-dependency-plugin:3.11.0:build-classpath"
    shell(project, *mvn, goal, "-Dmdep.outputFile=classpath")


def install_rust(project: Path) -> None:
    """A crate that depends on the packed one; what that needs is built where the client's is."""
    shell(project, "cargo", "init", "--quiet", "--name", "first", "--vcs", "none")
    crate = CLIENTS / "rust/target/crate"
    shell(project, "cargo", "add", "--quiet", "--path", str(crate))
    shell(project, "cargo", "add", "--quiet", "tokio", "--features", "full")
    folder = project / ".cargo"
    folder.mkdir()
    (folder / "config.toml").write_text(f'[build]\ntarget-dir = "{CLIENTS / "rust/target"}"\n')


ECOSYSTEMS: Mapping[str, Ecosystem] = {
    "python": Ecosystem(
        fence="python",
        install=install_python,
        program="program.py",
        run=("venv/bin/python", "program.py"),
        readme=CLIENTS / "python/README.md",
    ),
    "sdist": Ecosystem(
        fence="python",
        install=install_sdist,
        program="program.py",
        run=("venv/bin/python", "program.py"),
        readme=CLIENTS / "python/README.md",
    ),
    "go": Ecosystem(
        fence="go",
        install=install_go,
        program="main.go",
        run=("go", "run", "."),
        readme=CLIENTS / "go/README.md",
    ),
    "typescript": Ecosystem(
        fence="ts",
        install=install_typescript,
        program="program.ts",
        run=("sh", "-c", "npx tsc && node program.js"),
        readme=CLIENTS / "typescript/README.md",
    ),
    "java": Ecosystem(
        fence="java",
        install=install_java,
        program="First.java",
        run=("sh", "-c", 'java -cp "$(cat classpath)" First.java'),
        readme=CLIENTS / "java/README.md",
    ),
    "rust": Ecosystem(
        fence="rust",
        install=install_rust,
        program="src/main.rs",
        run=("cargo", "run", "--quiet"),
        readme=CLIENTS / "rust/README.md",
    ),
}


if __name__ == "__main__":
    sys.exit(main())
