"""Install each package into an empty project, and run the programs of its README.

`make packages` builds the packages. A program passes if it exits with 0 and prints something.
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
    """How to run the programs of a README."""

    fence: str
    """The language of its code blocks."""
    install: Callable[[Path], None]
    """Creates a project with the package in an empty folder."""
    program: str
    """The path of the program in the project."""
    run: tuple[str, ...]
    readme: Path


def main() -> int:
    """Return the exit status: 1 if a program failed."""
    parser = argparse.ArgumentParser(prog="readmes", description=__doc__)
    parser.add_argument("languages", nargs="*", metavar="LANGUAGE")
    selected = parser.parse_args().languages or list(ECOSYSTEMS)
    failures = []
    with World() as world:
        for language in selected:
            failures += try_language(language, world)
    for failure in failures:
        sys.stdout.write(f"{failure}\n")
    return 1 if failures else 0


def try_language(language: str, world: World) -> list[str]:
    """Return the failures of a language."""
    ecosystem = ECOSYSTEMS[language]
    programs = programs_of(ecosystem)
    if len(programs) < 4:
        return [f"{language}: the README has {len(programs)} programs; expected four"]
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
    """Return the programs, each with its heading."""
    found, heading = [], ""
    pattern = rf"^## (?P<heading>[^\n]+)$|^```{ecosystem.fence}\n(?P<text>.*?)^```$"
    for match in re.finditer(pattern, ecosystem.readme.read_text(), re.MULTILINE | re.DOTALL):
        if match["heading"]:
            heading = match["heading"]
        else:
            found.append((heading, match["text"]))
    return found


def in_world(text: str, variables: Mapping[str, str]) -> str:
    """Return a program with the addresses, files and names of the world."""
    for documented, actual in {
        PUBLIC_ADDRESS: variables["TLS"],
        LOCAL_ADDRESS: variables["SERVER"],
        "ca.pem": variables["CA"],
        "/var/run/secrets/taskgate/token": variables["TOKEN_FILE"],
        "omics/runs/1234567/tasks/7654321": variables["RUN_TASK"],
        "omics/runs/1234567": variables["ENDED_RUN"],
    }.items():
        text = text.replace(documented, actual)
    return text


def shell(project: Path, *command: str) -> None:
    """Run a command of an installation.

    Raises:
        subprocess.CalledProcessError: the command failed.
    """
    subprocess.run(command, cwd=project, check=True, timeout=SECONDS, stdout=subprocess.DEVNULL)


def install_python(project: Path) -> None:
    """Create a virtual environment with the wheel."""
    _install_python(project, "whl")


def install_sdist(project: Path) -> None:
    """Create a virtual environment with the source distribution, which generates its stubs."""
    _install_python(project, "tar.gz")


def _install_python(project: Path, ending: str) -> None:
    (artifact,) = (CLIENTS.parent / "dist").glob(f"taskgate-*.{ending}")
    uv = str(Path(sys.executable).with_name("uv"))
    shell(project, uv, "venv", "--quiet", "--python", sys.executable, "venv")
    shell(project, uv, "pip", "install", "--quiet", "--python", "venv/bin/python", str(artifact))


def install_go(project: Path) -> None:
    """Create a module that requires the client, from a proxy before the default ones."""
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
    """Create a package that depends on the tarball, with the compiler of the client."""
    (tarball,) = (CLIENTS / "typescript/build").glob("*.tgz")
    (project / "package.json").write_text('{"type": "module", "private": true}')
    compiler = ("typescript@5", "@types/node@20")
    shell(project, "npm", "install", "--silent", "--no-audit", "--no-fund", str(tarball), *compiler)
    (project / "tsconfig.json").write_text(
        '{"compilerOptions": {"strict": true, "module": "NodeNext", "target": "ES2022"}}'
    )


def install_java(project: Path) -> None:
    """Create a project that depends on the jar, in a local repository before the default one.

    Maven knows the dependencies of the jar only from the POM inside it.
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
    """Create a crate that depends on the packed one; they share the folder of build results."""
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
