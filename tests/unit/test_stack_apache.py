"""What Apache Kafka needs is asked for in words, and its jars are compared with the committed list."""

import hashlib
import stat
from pathlib import Path

import pytest

from stack import apache_kafka
from stack.errors import Unavailable


def test_a_machine_without_java_is_told_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="no `java` on the PATH: install a Java 17"):
        apache_kafka.java()


@pytest.mark.parametrize("version", ["1.8.0_392", "11.0.21"])
def test_an_old_java_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str) -> None:
    old = tmp_path / "java"
    old.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    old.chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match=version):
        apache_kafka.java()


def test_a_machine_without_maven_and_without_the_jars_is_told_to_install_maven(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("TOLLSTREAM_CACHE", str(tmp_path))
    with pytest.raises(Unavailable, match="no `mvn` on the PATH"):
        apache_kafka.resolve(print, lambda: None)


def test_a_jar_with_another_content_than_the_committed_digest_is_not_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(apache_kafka, "HERE", tmp_path)
    (tmp_path / "jars.sha256").write_text(f"{hashlib.sha256(b'good').hexdigest()}  a.jar\n")
    assert not apache_kafka.intact(tmp_path)
    (tmp_path / "a.jar").write_bytes(b"good")
    assert apache_kafka.intact(tmp_path)
    (tmp_path / "a.jar").write_bytes(b"evil")
    assert not apache_kafka.intact(tmp_path)


def test_the_digests_are_those_of_the_pinned_version() -> None:
    assert f"kafka_2.13-{apache_kafka.version()}.jar" in (apache_kafka.HERE / "jars.sha256").read_text()
