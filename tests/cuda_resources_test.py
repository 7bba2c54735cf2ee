#!/usr/bin/env python3
"""Shows that tests/cuda_resources.py lets a sound listing pass and fails on each of the faults that it is there for."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

GATE = pathlib.Path(__file__).with_name("cuda_resources.py")
BUDGETS = """architecture,file,kernel,registers,shared_bytes,blocks
sm_90,rows.cu,"norm_kernel<float, 4>",40,1024,2
sm_90,rows.cu,plain_kernel,20,0,
"""
# 40 registers let a multiprocessor hold 6 blocks of 256 threads, 102,400 bytes each 2 of its 233,472 of shared memory.
LAUNCHES = """kernel,threads,dynamic_bytes
"norm_kernel<float, 4>",256,102400
"""


def entry(mangled, registers, shared=0, spills=0, architecture="sm_90"):
    smem = f", {shared} bytes smem" if shared else ""
    return (f"ptxas info    : Compiling entry function '{mangled}' for '{architecture}'\n"
            f"ptxas info    : Function properties for {mangled}\n"
            f"    {spills} bytes stack frame, {spills} bytes spill stores, {spills} bytes spill loads\n"
            f"ptxas info    : Used {registers} registers, used 1 barriers{smem}, 400 bytes cmem[0]\n")


# void gestalt::kernels::cuda::(anonymous namespace)::norm_kernel<float, 4>(float const*), and plain_kernel(float*)
NORM = "_ZN7gestalt7kernels4cuda39_GLOBAL__N__fe92d274_7_rows_cu_d80b2a2411norm_kernelIfLi4EEEvPKf"
PLAIN = "_ZN7gestalt7kernels4cuda39_GLOBAL__N__fe92d274_7_rows_cu_d80b2a2412plain_kernelEPf"


class Gate(unittest.TestCase):
    def gate(self, *entries, launches=LAUNCHES):
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "rows.cu.o.resources").write_text("".join(entries))
            budgets = pathlib.Path(folder, "budgets.csv")
            budgets.write_text(BUDGETS)
            launched = pathlib.Path(folder, "launches.csv")
            launched.write_text(launches)
            command = [sys.executable, str(GATE), folder, "--budgets", str(budgets), "--launches", str(launched)]
            done = subprocess.run(command, capture_output=True, text=True)
            return done.returncode, done.stdout + done.stderr

    def refused(self, text, *entries, **more):
        status, output = self.gate(*entries, **more)
        self.assertEqual(status, 1, output)
        self.assertIn(text, output)

    def test_within_budgets_passes(self):
        status, output = self.gate(entry(NORM, 40, 1024), entry(PLAIN, 18))
        self.assertEqual(status, 0, output)
        self.assertIn("2 kernels, 0 faults", output)

    def test_other_architectures_need_no_budget_but_may_not_spill(self):
        sound = entry(NORM, 40, 1024), entry(PLAIN, 20)
        self.assertEqual(self.gate(*sound, entry(PLAIN, 60, architecture="sm_80"))[0], 0)
        self.refused("spills 16 bytes", *sound, entry(PLAIN, 60, spills=8, architecture="sm_80"))

    def test_a_spill_fails(self):
        self.refused("norm_kernel<float, 4> (sm_90) spills 8 bytes", entry(NORM, 40, 1024, 4), entry(PLAIN, 20))

    def test_more_registers_fail(self):
        self.refused("takes 41 registers", entry(NORM, 41, 1024), entry(PLAIN, 20))

    def test_more_shared_memory_fails(self):
        self.refused("takes 1040 shared_bytes", entry(NORM, 40, 1040), entry(PLAIN, 20))

    def test_fewer_blocks_on_a_multiprocessor_fail(self):
        sound = entry(NORM, 40, 1024), entry(PLAIN, 20)
        self.refused("fits 1 times on a multiprocessor, less than 2", *sound,
                     launches=LAUNCHES.replace("102400", "120000"))
        self.refused("fits 1 times", *sound, launches=LAUNCHES.replace("256,102400", "1024,0"))

    def test_a_kernel_without_a_budget_fails(self):
        other = PLAIN.replace("12plain_kernel", "12other_kernel")
        self.refused("other_kernel (sm_90) has no budget", entry(NORM, 40), entry(PLAIN, 20), entry(other, 1))

    def test_a_stale_budget_fails(self):
        self.refused("there is no such kernel", entry(NORM, 40))

    def test_an_empty_listing_fails(self):
        self.refused("no listing of kernels")

    def test_launches_beyond_what_is_noted_fail(self):
        with tempfile.TemporaryDirectory() as folder:
            program, record, noted = (pathlib.Path(folder, name) for name in ("program", "record", "noted.csv"))
            pathlib.Path(folder, "a.c").write_text("void plain_kernel(void) {}\nint main(void) { return 0; }\n")
            subprocess.run(["cc", "-o", program, pathlib.Path(folder, "a.c")], check=True)
            symbols = subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout
            place = next(line.split()[0] for line in symbols.splitlines() if line.endswith(" plain_kernel"))
            command = [sys.executable, str(GATE.with_name("cuda_launches.py")), program, record, "--launches", noted]
            run = lambda *more: subprocess.run([*command, *more], capture_output=True, text=True)
            record.write_text(f"{place} 64 100\n{place} 256 0\n")
            self.assertEqual(run("--write").returncode, 0)
            self.assertEqual(noted.read_text(), "kernel,threads,dynamic_bytes\nplain_kernel,256,100\n")
            self.assertEqual(run().returncode, 0)
            record.write_text(f"{place} 256 101\n")
            self.assertIn("plain_kernel had 256 threads and 101 bytes", run().stderr)
            noted.write_text("kernel,threads,dynamic_bytes\n")
            self.assertIn("1 not noted", run().stdout)
            record.write_text("1 32 0\n")
            self.assertIn("another build", run().stderr)


if __name__ == "__main__":
    unittest.main()
