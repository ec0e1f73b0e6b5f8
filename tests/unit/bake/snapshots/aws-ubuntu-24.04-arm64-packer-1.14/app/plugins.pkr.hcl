# Packer 1.14 and newer install this plugin with `packer init .`, from releases.hashicorp.com.
packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = "= 1.8.2"
    }
  }
}
