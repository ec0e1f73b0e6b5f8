# Packer 1.7 to 1.13 install this plugin with `packer init .`, from GitHub; newer ones are not published there.
packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = "= 1.3.9"
    }
  }
}
