"""This machine and this checkout: doctor, test, docs."""

from __future__ import annotations

from invoke import Context, Exit, task

from goldenami.tasks.runner import ROOT, ContextFactory, command, print_status, recipe_task


@recipe_task()
def doctor(opened: ContextFactory, json: bool = False) -> None:
    """Check tools, versions, credentials, permissions, KVM, disk and ports; say how to mend each.

    Exits with 3 when something must be mended before a bake can work.
    """
    from goldenami.dev import doctor as dev_doctor

    findings = dev_doctor.run_checks(opened())
    print(dev_doctor.findings(findings, as_json=json))
    if any(finding.result == "fail" for finding in findings):
        raise Exit(code=3)


@task(
    help={
        "e2e": "only what boots machines",
        "quick": "leave out what boots machines",
        "long": "also the many cases that a few stand for",
        "k": "only tests that match",
    }
)
@command
def test(_: Context, e2e: bool = False, quick: bool = False, long: bool = False, k: str = "") -> None:
    """Run the linters and the tests, from quoting to real bakes and promotions on the local cloud."""
    from goldenami.dev import checks

    raise Exit(code=checks.run(ROOT, e2e=e2e, quick=quick, long=long, keyword=k))


@task
@command
def docs(_: Context) -> None:
    """Write the generated pages: the references of the recipe and of the tasks, the policies, the README's list of tasks."""
    from goldenami.dev import docs as dev_docs

    for page in dev_docs.write_docs(ROOT):
        print_status(f"wrote {page}")
