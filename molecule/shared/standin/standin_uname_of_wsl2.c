/* A stand-in for the kernel of WSL2: uname(2) cannot be told another name in a container, so programs are started with this before libc. */

#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

int uname(struct utsname *name) {
  long result = syscall(SYS_uname, name);
  if (result == 0) {
    strcpy(name->release, "5.15.153.1-microsoft-standard-WSL2");
  }
  return (int)result;
}
